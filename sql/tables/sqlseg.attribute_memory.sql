create table if not exists sqlseg.attribute_memory (
    kind        VARCHAR,
    definition  VARCHAR,
    signature   VARCHAR,
    read_at     TIMESTAMP,
    fingerprint VARCHAR
);

comment on table sqlseg.attribute_memory is 'What is known of the attributes of users and items since they were last read, as long as files alone decide them.';
comment on column sqlseg.attribute_memory.kind is 'users or items.';
comment on column sqlseg.attribute_memory.definition is 'Fingerprint of the SQL, the sources and the release of DuckDB.';
comment on column sqlseg.attribute_memory.signature is 'Files that the SQL reads, with size and times of change, as JSON.';
comment on column sqlseg.attribute_memory.read_at is 'When the signature was taken (UTC).';
comment on column sqlseg.attribute_memory.fingerprint is 'Fingerprint of the attributes.';
