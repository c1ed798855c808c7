-- What is new against the events of the run before: events that it did not have, users whose events are others,
-- and events that belong before that run's newest event but arrived after it.
with previous as (
    select user_id, event_hash, count(*) as copies from sqlseg.events group by user_id, event_hash
),
staged as (
    select user_id, event_hash, min(event_time) as event_time, count(*) as copies
    from staged_events
    where reason is null and rowid not in (select row_number from duplicate_events)
    group by user_id, event_hash
),
compared as (
    select
        coalesce(s.user_id, p.user_id) as user_id,
        s.event_time,
        coalesce(s.copies, 0) - coalesce(p.copies, 0) as surplus
    from staged as s
    full join previous as p on s.user_id = p.user_id and s.event_hash = p.event_hash
)
select
    coalesce(sum(surplus) filter (where surplus > 0), 0)::bigint as events_new,
    coalesce(-sum(surplus) filter (where surplus < 0), 0)::bigint as events_gone,
    count(distinct user_id) filter (where surplus <> 0) as users_touched,
    coalesce(sum(surplus) filter (where surplus > 0 and event_time <= $data_through), 0)::bigint as events_late
from compared
