-- What is known of the whole source after a refresh has read what it had to, but for the hashes of its events.
select
    s.rows_read,
    e.accepted,
    e.newest,
    s.raw_sum::varchar as raw_sum
from (select count(*) as accepted, max(event_time) as newest from sqlseg.events) as e
cross join (
    select coalesce(sum(row_count), 0)::bigint as rows_read, coalesce(sum(hash_sum), 0) as raw_sum
    from sqlseg.source_partition
) as s
