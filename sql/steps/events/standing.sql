-- What is known of the whole source after a refresh has read what it had to, but for the hashes of its events.
-- The newest event by its place in an order: DuckDB then passes over the parts of a table that only hold older ones, where
-- max() reads all of it in a transaction that has changed any.
select
    s.rows_read,
    e.accepted,
    e.newest,
    s.raw_sum::varchar as raw_sum
from (
    select
        (select count(*) from sqlseg.events) as accepted,
        (select event_time from sqlseg.events order by event_time desc limit 1) as newest
) as e
cross join (
    select coalesce(sum(row_count), 0)::bigint as rows_read, coalesce(sum(hash_sum), 0) as raw_sum
    from sqlseg.source_partition
) as s
