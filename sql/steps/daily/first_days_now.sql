-- The first day of each of the changed_users. Reads fresh_first_day, which has that of touched ones.
select user_id, day from fresh_first_day
union all
select user_id, day
from sqlseg.first_day
where user_id in (select user_id from changed_users except select user_id from touched_users)
