-- The content of the source, day by day: what was remembered, and what has been appended since.
create or replace temp table source_days as
with days as (
    select day, row_count, hash_sum, hash_xor from sqlseg.source_partition
    union all
    select event_day as day, count(*) as row_count, sum(raw_hash) as hash_sum, bit_xor(raw_hash) as hash_xor
    from appended_rows
    group by event_day
)
select day, sum(row_count)::bigint as row_count, sum(hash_sum)::hugeint as hash_sum, bit_xor(hash_xor) as hash_xor
from days
group by day
