create table if not exists sqlseg.segment_name (
    segment_id   VARCHAR,
    segment_name VARCHAR
);

comment on table sqlseg.segment_name is 'Names that people gave to segments; they win over the made ones.';
comment on column sqlseg.segment_name.segment_id is 'The segment.';
comment on column sqlseg.segment_name.segment_name is 'The name that was given.';
