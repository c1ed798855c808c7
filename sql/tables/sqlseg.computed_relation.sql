create table if not exists sqlseg.computed_relation (
    kind        VARCHAR,
    schema_name VARCHAR,
    name        VARCHAR
);

comment on table sqlseg.computed_relation is 'What refreshes have made from views and encoders, so that nothing else is ever removed or published.';
comment on column sqlseg.computed_relation.kind is 'table or view.';
comment on column sqlseg.computed_relation.schema_name is 'Its schema.';
comment on column sqlseg.computed_relation.name is 'Its name.';
