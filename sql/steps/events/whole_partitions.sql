-- What the whole source holds, day by day.
create or replace temp table partitions_read as
select
    event_day as day,
    count(*) as row_count,
    sum(raw_hash)::hugeint as hash_sum,
    bit_xor(raw_hash) as hash_xor,
    max(event_time) filter (where isfinite(event_time)) as newest,
    max(ingested_at) filter (where ingested_at <= $now) as last_ingested
from staged_events
group by event_day
