create table if not exists segments.model (
    segmentation   VARCHAR,
    model_version  INTEGER,
    algorithm      VARCHAR,
    parameters     VARCHAR,
    inputs         VARCHAR,
    fitted_at      TIMESTAMP,
    fitted_as_of   TIMESTAMP,
    seed           BIGINT,
    fit_user_count BIGINT
);

comment on table segments.model is 'Every model that was fitted.';
comment on column segments.model.segmentation is 'The segmentation.';
comment on column segments.model.model_version is 'Counts up within the segmentation.';
comment on column segments.model.algorithm is 'Clustering algorithm, or rules.';
comment on column segments.model.parameters is 'Everything needed to assign a user again, as JSON.';
comment on column segments.model.inputs is 'Inputs with versions and fingerprints, as JSON.';
comment on column segments.model.fitted_at is 'When it was fitted (UTC).';
comment on column segments.model.fitted_as_of is 'as_of of the data it was fitted on (UTC).';
comment on column segments.model.seed is 'Seed of everything random in the fit.';
comment on column segments.model.fit_user_count is 'Users it was fitted on.';
