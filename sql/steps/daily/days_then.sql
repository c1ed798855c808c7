-- What the changed_users had bought before, by day. Reads user_day_then, which has that of touched ones.
select user_id, day, orders, revenue from user_day_then
union all
select user_id, day, orders, revenue
from sqlseg.user_day
where user_id in (select user_id from changed_users except select user_id from touched_users)
