-- Revenue of every user up to as_of: purchases minus returns. Reads user_day, brought up to date for the active_users.
select p.user_id, coalesce(sum(d.revenue), 0) as revenue
from active_users as p
left join sqlseg.user_day as d on d.user_id = p.user_id
group by p.user_id
