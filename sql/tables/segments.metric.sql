create table if not exists segments.metric (
    run_id       VARCHAR,
    as_of        TIMESTAMP,
    segmentation VARCHAR,
    metric       VARCHAR,
    value        DOUBLE
);

comment on table segments.metric is 'Measures of a segmentation in a run, such as silhouette and the values tried for k.';
comment on column segments.metric.run_id is 'The run.';
comment on column segments.metric.as_of is 'as_of of the run (UTC).';
comment on column segments.metric.segmentation is 'The segmentation.';
comment on column segments.metric.metric is 'The measure; those of a tried k end in [k=<k>].';
comment on column segments.metric.value is 'Its value.';
