create table if not exists segments.membership (
    user_id              VARCHAR,
    segmentation         VARCHAR,
    segment_id           VARCHAR,
    segment_name         VARCHAR,
    confidence           DOUBLE,
    distance             DOUBLE,
    runner_up_segment_id VARCHAR,
    member_since         TIMESTAMP,
    as_of                TIMESTAMP,
    model_version        INTEGER,
    assignment_probability DOUBLE
);

comment on table segments.membership is 'The segment of every user, now.';
comment on column segments.membership.user_id is 'The user.';
comment on column segments.membership.segmentation is 'The segmentation.';
comment on column segments.membership.segment_id is 'The segment.';
comment on column segments.membership.segment_name is 'The name of the segment.';
comment on column segments.membership.confidence is '0 to 1: d2^2 / (d1^2 + d2^2) of the distances to the nearest and second centroid; the calibrated probability for supervised; 1 for rules.';
comment on column segments.membership.distance is 'Distance to the centroid of the segment, in the scaled space of the model; NULL for rules and supervised.';
comment on column segments.membership.runner_up_segment_id is 'The second nearest segment, or the second likeliest; NULL where there is only one, and for rules.';
comment on column segments.membership.member_since is 'When the current stay began (UTC).';
comment on column segments.membership.as_of is 'Moment of which the row speaks (UTC).';
comment on column segments.membership.model_version is 'The model that assigned the user.';
comment on column segments.membership.assignment_probability is '0 to 1: the share of refits, on resamples of the users, that put the user in this segment; NULL for rules, algorithms without centroids, and models older than this column.';
