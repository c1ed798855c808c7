create table if not exists sqlseg.kept_part (
    name   VARCHAR,
    run_id VARCHAR
);

comment on table sqlseg.kept_part is 'Tables of this schema with rows of users that feature views need and that no as_of changes.';
comment on column sqlseg.kept_part.name is 'The table.';
comment on column sqlseg.kept_part.run_id is 'The refresh after which it holds the rows of all users but those in sqlseg.behind_part.';
