create table if not exists segments.drift (
    run_id       VARCHAR,
    as_of        TIMESTAMP,
    segmentation VARCHAR,
    feature      VARCHAR,
    psi          DOUBLE,
    ks           DOUBLE,
    status       VARCHAR
);

comment on table segments.drift is 'How far each input has moved from the users the model was fitted on.';
comment on column segments.drift.run_id is 'The run.';
comment on column segments.drift.as_of is 'as_of of the run (UTC).';
comment on column segments.drift.segmentation is 'The segmentation.';
comment on column segments.drift.feature is 'The input.';
comment on column segments.drift.psi is 'Population stability index.';
comment on column segments.drift.ks is 'Kolmogorov-Smirnov distance to the users of the fit, within 0.01; missing values count as the largest.';
comment on column segments.drift.status is 'ok, watch or shift.';
