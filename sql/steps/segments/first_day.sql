-- The day of the first event of each of the active_users.
select user_id, min(local_time)::date as day
from active_events
where event_time < $as_of
group by user_id
