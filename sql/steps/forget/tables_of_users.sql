-- Tables of sqlseg's own schemas that say something of single users.
select c.schema_name, c.table_name
from duckdb_columns() as c
join duckdb_tables() as t
    on t.database_name = c.database_name and t.schema_name = c.schema_name and t.table_name = c.table_name
where
    c.database_name = current_database() and c.column_name = 'user_id'
    and c.schema_name in ('sqlseg', 'stats', 'features', 'embeddings', 'segments', 'quality')
order by all
