create table if not exists quality.rejected_events (
    run_id    VARCHAR,
    reason    VARCHAR,
    "row"     VARCHAR,
    event_day DATE
);

comment on table quality.rejected_events is 'Source rows that could not be used, with the reason. Not published.';
comment on column quality.rejected_events.run_id is 'The run that refused the row.';
comment on column quality.rejected_events.reason is 'Why.';
comment on column quality.rejected_events."row" is 'The row as JSON.';
comment on column quality.rejected_events.event_day is 'The day of its event_time (UTC); NULL where that cannot be read.';
