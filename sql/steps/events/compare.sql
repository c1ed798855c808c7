-- What a look at the whole source changes: staged events that were not there before, events that are not staged.
-- Accepted events are all different, so each is found by its hash alone.
create or replace temp table verdicts as
with usable as (
    select rowid as row_number, event_hash
    from staged_events
    where reason is null and rowid not in (select row_number from duplicate_events)
)
select 'staged' as origin, u.row_number, true as accepted
from usable as u
anti join sqlseg.events as e on e.event_hash = u.event_hash
union all
select 'events', e.rowid, null
from sqlseg.events as e
anti join usable as u on u.event_hash = e.event_hash
