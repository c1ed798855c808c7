-- The content of the source, day by day, in one pass over it.
create or replace temp table source_days as
select
    event_day as day,
    count(*) as row_count,
    sum(raw_hash) as hash_sum,
    bit_xor(raw_hash) as hash_xor
from raw_events
group by event_day
