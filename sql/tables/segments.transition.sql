create table if not exists segments.transition (
    run_id          VARCHAR,
    as_of           TIMESTAMP,
    segmentation    VARCHAR,
    from_segment_id VARCHAR,
    to_segment_id   VARCHAR,
    cause           VARCHAR,
    user_count      BIGINT,
    revenue         DOUBLE
);

comment on table segments.transition is 'Moves between segments in a run, counted by cause.';
comment on column segments.transition.run_id is 'The run.';
comment on column segments.transition.as_of is 'as_of of the run (UTC).';
comment on column segments.transition.segmentation is 'The segmentation.';
comment on column segments.transition.from_segment_id is 'The segment that was left; NULL for users seen for the first time.';
comment on column segments.transition.to_segment_id is 'The segment that was entered; NULL for users who are gone.';
comment on column segments.transition.cause is 'first_seen, late_data, definition, model, behavior or erased.';
comment on column segments.transition.user_count is 'Users who made this move.';
comment on column segments.transition.revenue is 'What these users had brought up to as_of: purchases minus returns. NULL where their events are gone, or the run is older than this column.';
