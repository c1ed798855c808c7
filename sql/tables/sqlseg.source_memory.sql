create table if not exists sqlseg.source_memory (
    run_id          VARCHAR,
    definition      VARCHAR,
    signature       VARCHAR,
    read_at         TIMESTAMP,
    compared_at     TIMESTAMP,
    exported_at     TIMESTAMP,
    ignored_columns VARCHAR,
    fingerprint     VARCHAR
);

comment on table sqlseg.source_memory is 'What is known of the sources since they were last read, in one row: how the next refresh knows what it need not read.';
comment on column sqlseg.source_memory.run_id is 'The last completed run that changed something.';
comment on column sqlseg.source_memory.definition is 'What decides how rows are read and judged, as JSON.';
comment on column sqlseg.source_memory.signature is 'Files that the events SQL reads, with size and times of change, as JSON; NULL where more than files decides.';
comment on column sqlseg.source_memory.read_at is 'When the signature was taken (UTC).';
comment on column sqlseg.source_memory.compared_at is 'When all of the source was last compared by content (UTC).';
comment on column sqlseg.source_memory.exported_at is 'By which bound times were judged (UTC).';
comment on column sqlseg.source_memory.ignored_columns is 'Columns of the source that no canonical event has, as JSON.';
comment on column sqlseg.source_memory.fingerprint is 'Fingerprint of all accepted and refused rows.';
