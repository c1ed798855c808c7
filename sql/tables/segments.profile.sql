create table if not exists segments.profile (
    segmentation VARCHAR,
    segment_id   VARCHAR,
    feature      VARCHAR,
    user_count   BIGINT,
    mean         DOUBLE,
    median       DOUBLE,
    p10          DOUBLE,
    p90          DOUBLE,
    overall_mean DOUBLE,
    lift         DOUBLE,
    z            DOUBLE,
    rank         INTEGER
);

comment on table segments.profile is 'What a segment looks like: its distribution of every readable feature beside that of all users.';
comment on column segments.profile.segmentation is 'The segmentation.';
comment on column segments.profile.segment_id is 'The segment.';
comment on column segments.profile.feature is 'The feature, <view>__<column>.';
comment on column segments.profile.user_count is 'Users of the segment for whom the feature is known.';
comment on column segments.profile.mean is 'Mean in the segment.';
comment on column segments.profile.median is 'Median in the segment.';
comment on column segments.profile.p10 is '10th percentile in the segment.';
comment on column segments.profile.p90 is '90th percentile in the segment.';
comment on column segments.profile.overall_mean is 'Mean over all users.';
comment on column segments.profile.lift is 'mean / overall_mean; NULL where overall_mean is 0.';
comment on column segments.profile.z is '(mean - overall_mean) / standard deviation over all users.';
comment on column segments.profile.rank is '1 for the feature that sets the segment apart most, by absolute z.';
