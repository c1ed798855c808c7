-- What stands in the schemas that sqlseg keeps for itself.
select schema_name, table_name, is_view
from (
    select database_name, schema_name, table_name, false as is_view from duckdb_tables()
    union all
    select database_name, schema_name, view_name, true from duckdb_views()
)
where database_name = current_database()
    and schema_name in ('sqlseg', 'stats', 'features', 'embeddings', 'segments', 'quality')
order by schema_name, table_name
