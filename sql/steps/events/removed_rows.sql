-- The known usable rows that were not staged again.
create or replace temp table removed_rows as
with staged as (
    select event_hash, count(*) as copies from staged_events where reason is null group by event_hash
)
select p.origin, p.row_number, p.event_id, p.event_hash, p.replaced
from prior_rows as p
left join staged as s on s.event_hash = p.event_hash
where p.copy > coalesce(s.copies, 0)
