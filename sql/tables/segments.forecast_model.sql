create table if not exists segments.forecast_model (
    forecast       VARCHAR,
    model_version  INTEGER,
    horizons       VARCHAR,
    parameters     VARCHAR,
    inputs         VARCHAR,
    fitted_at      TIMESTAMP,
    fitted_as_of   TIMESTAMP,
    seed           BIGINT,
    fit_row_count  BIGINT
);

comment on table segments.forecast_model is 'Every model of what users will do that was fitted to the shop''s own past; the highest version of each is in use.';
comment on column segments.forecast_model.forecast is 'The encoder whose forecasts it makes, such as behavior@1.';
comment on column segments.forecast_model.model_version is 'Counts up for each encoder.';
comment on column segments.forecast_model.horizons is 'The days ahead that it forecasts, as JSON.';
comment on column segments.forecast_model.parameters is 'Everything needed to forecast again, as JSON.';
comment on column segments.forecast_model.inputs is 'Definition with fingerprints, earlier moments that it learned from, horizons refused and why it was fitted, as JSON.';
comment on column segments.forecast_model.fitted_at is 'When it was fitted (UTC).';
comment on column segments.forecast_model.fitted_as_of is 'as_of of the data it was fitted on (UTC): nothing later is in it.';
comment on column segments.forecast_model.seed is 'Seed by which users were drawn, of shops too large to learn from all.';
comment on column segments.forecast_model.fit_row_count is 'Users it learned from, each counted at every earlier moment.';
