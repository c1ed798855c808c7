-- What is new against the events of the run before: events that it did not have, users whose events are others,
-- and events that belong before that run's newest event but arrived after it.
select
    coalesce(sum(surplus) filter (where surplus > 0), 0)::bigint as events_new,
    coalesce(-sum(surplus) filter (where surplus < 0), 0)::bigint as events_gone,
    count(distinct user_id) as users_touched,
    coalesce(sum(surplus) filter (where surplus > 0 and event_time <= $data_through), 0)::bigint as events_late
from compared_events
