create table if not exists segments.private_segment (
    release_id        VARCHAR,
    released_at       TIMESTAMP,
    run_id            VARCHAR,
    as_of             TIMESTAMP,
    segmentation      VARCHAR,
    segment_id        VARCHAR,
    segment_name      VARCHAR,
    user_count        BIGINT,
    user_count_low    BIGINT,
    user_count_high   BIGINT,
    revenue           DOUBLE,
    revenue_low       DOUBLE,
    revenue_high      DOUBLE,
    mean_revenue      DOUBLE,
    mean_revenue_low  DOUBLE,
    mean_revenue_high DOUBLE,
    epsilon           DOUBLE,
    revenue_from      DOUBLE,
    revenue_to        DOUBLE
);

comment on table segments.private_segment is 'Users and revenue of segments with noise, so that no single user changes much of what is told: one row a release and segment. Published where [privacy] sets epsilon_budget.';
comment on column segments.private_segment.release_id is 'The release; several rows share it.';
comment on column segments.private_segment.released_at is 'When (UTC).';
comment on column segments.private_segment.run_id is 'The refresh whose segments it is of.';
comment on column segments.private_segment.as_of is 'Moment of which the row speaks (UTC).';
comment on column segments.private_segment.segmentation is 'The segmentation.';
comment on column segments.private_segment.segment_id is 'The segment.';
comment on column segments.private_segment.segment_name is 'The name of the segment.';
comment on column segments.private_segment.user_count is 'Users in the segment, with noise; it can be below 0.';
comment on column segments.private_segment.user_count_low is 'The true number is at least this in 95% of releases.';
comment on column segments.private_segment.user_count_high is 'The true number is at most this in 95% of releases.';
comment on column segments.private_segment.revenue is 'Purchases minus returns of its users up to as_of, that of each taken into the bounds, with noise.';
comment on column segments.private_segment.revenue_low is 'The true sum of what was taken into the bounds is at least this in 95% of releases.';
comment on column segments.private_segment.revenue_high is 'The true sum of what was taken into the bounds is at most this in 95% of releases.';
comment on column segments.private_segment.mean_revenue is 'revenue / user_count; NULL where user_count is below 1.';
comment on column segments.private_segment.mean_revenue_low is 'The true mean is at least this in 95% of releases; NULL where the noise leaves the number of users open.';
comment on column segments.private_segment.mean_revenue_high is 'The true mean is at most this in 95% of releases; NULL where the noise leaves the number of users open.';
comment on column segments.private_segment.epsilon is 'What the whole release has spent of the budget.';
comment on column segments.private_segment.revenue_from is 'A user''s revenue below this counts as this.';
comment on column segments.private_segment.revenue_to is 'A user''s revenue above this counts as this.';
