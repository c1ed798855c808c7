create table if not exists sqlseg.published_file (
    path        VARCHAR,
    run_id      VARCHAR,
    whole_bytes BIGINT,
    bytes       BIGINT,
    modified_ns BIGINT
);

comment on table sqlseg.published_file is 'What the published file was when it was last built whole, or patched since.';
comment on column sqlseg.published_file.path is 'The file.';
comment on column sqlseg.published_file.run_id is 'The refresh that it holds.';
comment on column sqlseg.published_file.whole_bytes is 'Its size when it was last built whole.';
comment on column sqlseg.published_file.bytes is 'Its size when it was published, or last looked through.';
comment on column sqlseg.published_file.modified_ns is 'When it was changed last, in nanoseconds since 1970, as the file system said then.';
