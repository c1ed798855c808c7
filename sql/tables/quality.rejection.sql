create table if not exists quality.rejection (
    run_id    VARCHAR,
    reason    VARCHAR,
    row_count BIGINT
);

comment on table quality.rejection is 'Refused source rows, counted by reason.';
comment on column quality.rejection.run_id is 'The run.';
comment on column quality.rejection.reason is 'Why the rows were refused.';
comment on column quality.rejection.row_count is 'How many.';
