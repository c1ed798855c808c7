-- Revenue of every user up to as_of: purchases minus returns. Reads active_days, what the active_users bought.
select p.user_id, coalesce(sum(d.revenue), 0) as revenue
from active_users as p
left join active_days as d on d.user_id = p.user_id
group by p.user_id
