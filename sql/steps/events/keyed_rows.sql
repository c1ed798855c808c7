-- The usable rows with a hash of what makes a row repeat another one.
select rowid as row_number, case when event_id is null then event_hash else hash(event_id) end as key
from staged_events
where reason is null
