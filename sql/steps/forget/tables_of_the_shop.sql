-- Tables that lie in the same file and are not sqlseg's.
select schema_name || '.' || table_name as relation
from duckdb_tables()
where
    database_name = current_database() and not internal and not temporary
    and schema_name not in ('sqlseg', 'stats', 'features', 'embeddings', 'segments', 'quality')
order by all
