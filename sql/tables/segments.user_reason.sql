create table if not exists segments.user_reason (
    user_id      VARCHAR,
    segmentation VARCHAR,
    segment_id   VARCHAR,
    rank         INTEGER,
    feature      VARCHAR,
    value        DOUBLE,
    contribution DOUBLE
);

comment on table segments.user_reason is 'The rows behind segments.reason, without the means, which change for everybody when anybody moves.';
comment on column segments.user_reason.user_id is 'The user.';
comment on column segments.user_reason.segmentation is 'The segmentation.';
comment on column segments.user_reason.segment_id is 'The segment.';
comment on column segments.user_reason.rank is '1 for the input that speaks for the segment most.';
comment on column segments.user_reason.feature is 'The feature, <view>__<column>; an embedding is one input under its own name.';
comment on column segments.user_reason.value is 'What the user has; NULL for an embedding, and where it is unknown.';
comment on column segments.user_reason.contribution is 'What the input adds to d2^2 - d1^2, the squared distances to the centroid of the runner-up and of the own segment, in the space of the model. All inputs of a user add up to it; only those above 0 are kept, three at most.';
