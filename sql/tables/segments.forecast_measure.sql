create table if not exists segments.forecast_measure (
    forecast      VARCHAR,
    model_version INTEGER,
    horizon_days  INTEGER,
    target        VARCHAR,
    measure       VARCHAR,
    value         DOUBLE
);

comment on table segments.forecast_measure is 'How well forecasts did on a held-out, later part of the shop''s past, by the model fitted on what came before it.';
comment on column segments.forecast_measure.forecast is 'The encoder, such as behavior@1.';
comment on column segments.forecast_measure.model_version is 'The model in segments.forecast_model.';
comment on column segments.forecast_measure.horizon_days is 'Days ahead.';
comment on column segments.forecast_measure.target is 'p_order (any order), orders (their number) or spend (revenue).';
comment on column segments.forecast_measure.measure is 'auc, auc_of_rfm (the same of summed RFM ranks), brier, calibration_error, rank_correlation, mean_forecast or mean_actual.';
comment on column segments.forecast_measure.value is 'Its value.';
