create table if not exists sqlseg.model_fingerprint (
    segmentation  VARCHAR,
    model_version INTEGER,
    definition    VARCHAR
);

comment on table sqlseg.model_fingerprint is 'What the model in use of each segmentation was made from.';
comment on column sqlseg.model_fingerprint.segmentation is 'The segmentation.';
comment on column sqlseg.model_fingerprint.model_version is 'The model in use.';
comment on column sqlseg.model_fingerprint.definition is 'Fingerprint of inputs, algorithm and its settings.';
