-- What refreshes have computed from views and encoders: the candidates for removal when a project stops naming them.
select 'view' as kind, schema_name, view_name as name
from duckdb_views()
where database_name = current_database() and schema_name = 'features'
union all
select 'table' as kind, schema_name, table_name as name
from duckdb_tables()
where database_name = current_database()
    and (schema_name in ('stats', 'embeddings') or (schema_name = 'sqlseg' and starts_with(table_name, 'feature_')))
order by kind desc, schema_name, name
