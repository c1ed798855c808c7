-- The staged usable rows that are not among those known.
create or replace temp table added_rows as
with staged as (
    select
        rowid as row_number, event_id, event_hash,
        row_number() over (partition by event_hash order by rowid) as copy
    from staged_events
    where reason is null
)
select s.row_number, s.event_id, s.event_hash
from staged as s
anti join prior_rows as p on p.event_hash = s.event_hash and p.copy = s.copy
