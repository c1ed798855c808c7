create table if not exists sqlseg.published_content (
    relation  VARCHAR,
    row_count BIGINT,
    row_hash  HUGEINT
);

comment on table sqlseg.published_content is 'What the tables of the published file hold.';
comment on column sqlseg.published_content.relation is 'The table, with its schema.';
comment on column sqlseg.published_content.row_count is 'Its rows.';
comment on column sqlseg.published_content.row_hash is 'The sum of a hash of each row.';
