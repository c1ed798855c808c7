-- What the changed_users have bought, by day. Reads fresh_user_day, which has that of touched ones.
select user_id, day, orders, revenue from fresh_user_day
union all
select user_id, day, orders, revenue
from sqlseg.user_day
where user_id in (select user_id from changed_users except select user_id from touched_users)
