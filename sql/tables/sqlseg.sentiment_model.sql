create table if not exists sqlseg.sentiment_model (
    sentiment      VARCHAR,
    model_version  INTEGER,
    parameters     VARCHAR,
    definition     VARCHAR,
    fitted_because VARCHAR,
    fitted_at      TIMESTAMP,
    fitted_as_of   TIMESTAMP
);

comment on table sqlseg.sentiment_model is 'Every model of the mood of reviews; the highest version of each is in use. Its words come from reviews, so it is not published.';
comment on column sqlseg.sentiment_model.sentiment is 'What it reads, such as reviews@1.';
comment on column sqlseg.sentiment_model.model_version is 'Counts up.';
comment on column sqlseg.sentiment_model.parameters is 'Words, their weights and the correction, as JSON.';
comment on column sqlseg.sentiment_model.definition is 'What decided it besides the ratings, as JSON.';
comment on column sqlseg.sentiment_model.fitted_because is 'Why it was fitted.';
comment on column sqlseg.sentiment_model.fitted_at is 'When it was fitted (UTC).';
comment on column sqlseg.sentiment_model.fitted_as_of is 'as_of of the reviews it was fitted on (UTC): nothing later is in it.';
