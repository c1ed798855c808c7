-- Users with events that the run before knew, but which lay at or after its as_of.
insert into touched_users
select distinct user_id
from sqlseg.events
where event_time >= $last_as_of and event_time < $as_of and user_id not in (select user_id from touched_users)
