-- The first day of each of the changed_users as it was before. Reads first_day_then, which has that of touched ones.
select user_id, day from first_day_then
union all
select user_id, day
from sqlseg.first_day
where user_id in (select user_id from changed_users except select user_id from touched_users)
