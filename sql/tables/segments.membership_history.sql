create table if not exists segments.membership_history (
    user_id      VARCHAR,
    segmentation VARCHAR,
    segment_id   VARCHAR,
    valid_from   TIMESTAMP,
    valid_to     TIMESTAMP,
    cause        VARCHAR,
    run_id       VARCHAR
);

comment on table segments.membership_history is 'Every stay of a user in a segment; the open one has no end.';
comment on column segments.membership_history.user_id is 'The user.';
comment on column segments.membership_history.segmentation is 'The segmentation.';
comment on column segments.membership_history.segment_id is 'The segment.';
comment on column segments.membership_history.valid_from is 'data_through of the run that put the user there (UTC).';
comment on column segments.membership_history.valid_to is 'data_through of the run that moved the user on (UTC); NULL while the stay is open.';
comment on column segments.membership_history.cause is 'Why the stay began: first_seen, late_data, definition, model or behavior.';
comment on column segments.membership_history.run_id is 'The run that put the user there.';
