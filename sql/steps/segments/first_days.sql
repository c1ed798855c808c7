-- The day of the first event of every user.
create or replace temp table first_days as
select user_id, min(local_time)::date as day
from sqlseg.events
where event_time < $as_of
group by user_id
