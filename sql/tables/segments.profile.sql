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
    rank         INTEGER,
    mean_low     DOUBLE,
    mean_high    DOUBLE,
    effect_size  DOUBLE,
    effect_low   DOUBLE,
    effect_high  DOUBLE
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
comment on column segments.profile.mean_low is 'Lower end of the 95% interval of the mean (Student''s t); NULL where fewer than 2 users have a value or all have the same.';
comment on column segments.profile.mean_high is 'Upper end of that interval.';
comment on column segments.profile.effect_size is 'Hedges'' g: the mean in the segment minus that of everybody else, in pooled standard deviations; NULL where either side has fewer than 2 users, or nothing varies.';
comment on column segments.profile.effect_low is 'Lower end of the 95% interval of effect_size.';
comment on column segments.profile.effect_high is 'Upper end of that interval.';
