-- What the source holds, day by day, after a look at some of it. Reads what is remembered of the other days.
create or replace temp table partitions_read as
with news as (
    select event_day, event_time, ingested_at, raw_hash
    from staged_events
    where event_day in (select day from reread_days where day is not null)
        or (event_day is null and $unreadable)
        or rowid in (select row_number from added_rows)
        or rowid in (select row_number from refused_rows)
),
days as (
    select * from sqlseg.source_partition
    where case when day is null then not $unreadable
               else day not in (select day from reread_days where day is not null) end
    union all by name
    select
        event_day as day,
        count(*) as row_count,
        sum(raw_hash) as hash_sum,
        bit_xor(raw_hash) as hash_xor,
        max(event_time) filter (where isfinite(event_time)) as newest,
        max(ingested_at) filter (where ingested_at <= $now) as last_ingested
    from news
    group by event_day
)
select
    day,
    sum(row_count)::bigint as row_count,
    sum(hash_sum)::hugeint as hash_sum,
    bit_xor(hash_xor) as hash_xor,
    max(newest) as newest,
    max(last_ingested) as last_ingested
from days
group by day
