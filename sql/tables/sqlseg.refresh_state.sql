create table if not exists sqlseg.refresh_state (
    run_id                 VARCHAR,
    as_of                  TIMESTAMP,
    data_through           TIMESTAMP,
    source_fingerprint     VARCHAR,
    definition_fingerprint VARCHAR
);

comment on table sqlseg.refresh_state is 'What the last completed refresh saw: how the next one knows whether anything is new.';
comment on column sqlseg.refresh_state.run_id is 'The last completed run that changed something.';
comment on column sqlseg.refresh_state.as_of is 'Its as_of (UTC).';
comment on column sqlseg.refresh_state.data_through is 'Its newest event (UTC).';
comment on column sqlseg.refresh_state.source_fingerprint is 'Fingerprint of all accepted and refused rows.';
comment on column sqlseg.refresh_state.definition_fingerprint is 'Fingerprint of settings, views and encoders.';
