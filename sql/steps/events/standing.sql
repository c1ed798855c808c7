-- What is known of the whole source after a refresh has read what it had to: as summary.sql says it of staged rows.
select
    s.rows_read,
    e.accepted,
    e.newest,
    e.event_sum::varchar || '/' || e.event_xor::varchar || '/' || e.accepted::varchar || '/'
        || s.rows_read::varchar || '/' || s.raw_sum::varchar as fingerprint
from (
    select
        count(*) as accepted, max(event_time) as newest,
        coalesce(sum(event_hash), 0) as event_sum, coalesce(bit_xor(event_hash), 0) as event_xor
    from sqlseg.events
) as e
cross join (
    select coalesce(sum(row_count), 0)::bigint as rows_read, coalesce(sum(hash_sum), 0) as raw_sum
    from sqlseg.source_partition
) as s
