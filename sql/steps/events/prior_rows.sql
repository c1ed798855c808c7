-- The usable rows that are known of what was read again: of whole days, and of what arrived since a moment.
create or replace temp table prior_rows as
with known as (
    select
        'events' as origin, rowid as row_number, event_id, event_hash, true as replaced
    from sqlseg.events
    where event_time >= coalesce($first_day::date, '-infinity') and event_time < coalesce($day_after::date, 'infinity')
        and event_time::date in (select day from reread_days where day is not null)
    union all
    select 'duplicates', rowid, event_id, event_hash, true
    from sqlseg.duplicate_event
    where event_time >= coalesce($first_day::date, '-infinity') and event_time < coalesce($day_after::date, 'infinity')
        and event_time::date in (select day from reread_days where day is not null)
    union all
    select 'events', rowid, event_id, event_hash, false
    from sqlseg.events
    where ingested_at >= $since and event_time::date not in (select day from reread_days where day is not null)
    union all
    select 'duplicates', rowid, event_id, event_hash, false
    from sqlseg.duplicate_event
    where ingested_at >= $since and event_time::date not in (select day from reread_days where day is not null)
)
select
    *,
    -- Of equal rows, the one that is in use goes last.
    row_number() over (partition by event_hash order by origin = 'events' desc, row_number) as copy
from known
