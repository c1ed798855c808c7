-- The usable rows among which one is to be chosen anew: all of an event_id of which a row came or went, and without ids
-- all that equal such a row. Which rows of the events these are is looked up first: a join would carry every column of all
-- events to it.
create or replace temp table pool as
with moved as (
    select event_id, event_hash from added_rows
    union all
    select event_id, event_hash from removed_rows
),
kept as (
    select 'events' as origin, rowid as row_number, * exclude (local_time)
    from sqlseg.events
    where rowid in (
        select rowid from sqlseg.events
        where event_id in (select event_id from moved where event_id is not null)
        union all
        select rowid from sqlseg.events
        where event_hash in (select event_hash from moved where event_id is null) and event_id is null
    )
    union all by name
    select 'duplicates' as origin, rowid as row_number, * exclude (local_time)
    from sqlseg.duplicate_event
    where event_id in (select event_id from moved where event_id is not null)
    union all by name
    select 'duplicates' as origin, rowid as row_number, * exclude (local_time)
    from sqlseg.duplicate_event
    where event_hash in (select event_hash from moved where event_id is null) and event_id is null
)
select k.*
from kept as k
anti join removed_rows as r on r.origin = k.origin and r.row_number = k.row_number
union all by name
select 'staged' as origin, rowid as row_number, * exclude (reason, event_day, raw_hash, rejected_row)
from staged_events
where rowid in (select row_number from added_rows)
