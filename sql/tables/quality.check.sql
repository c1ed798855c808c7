create table if not exists quality.check (
    run_id       VARCHAR,
    check_name   VARCHAR,
    relation     VARCHAR,
    severity     VARCHAR,
    passed       BOOLEAN,
    failing_rows BIGINT
);

comment on table quality.check is 'Checks made in a run; a check passes when its query returns no rows.';
comment on column quality.check.run_id is 'The run.';
comment on column quality.check.check_name is 'The check.';
comment on column quality.check.relation is 'The table or view that was checked.';
comment on column quality.check.severity is 'error or warning.';
comment on column quality.check.passed is 'Whether no row failed.';
comment on column quality.check.failing_rows is 'Rows that failed.';
