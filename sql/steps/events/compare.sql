-- How often each event of the sources stands in them and in the events of the run before.
create or replace temp table compared_events as
with previous as (
    select user_id, event_hash, min(event_time) as event_time, count(*) as copies
    from sqlseg.events
    group by user_id, event_hash
),
staged as (
    select user_id, event_hash, min(event_time) as event_time, count(*) as copies
    from staged_events
    where reason is null and rowid not in (select row_number from duplicate_events)
    group by user_id, event_hash
)
select
    coalesce(s.user_id, p.user_id) as user_id,
    coalesce(s.event_time, p.event_time) as event_time,
    coalesce(s.copies, 0) - coalesce(p.copies, 0) as surplus
from staged as s
full join previous as p on s.user_id = p.user_id and s.event_hash = p.event_hash
where coalesce(s.copies, 0) <> coalesce(p.copies, 0)
