-- Revenue of every user up to as_of: purchases minus returns.
select
    p.user_id,
    coalesce(sum(
        case e.event_type when 'purchase' then e.price when 'return' then -e.price end * coalesce(e.quantity, 1)
    ), 0) as revenue
from active_users as p
left join active_events as e
    on e.user_id = p.user_id and e.event_time < $as_of and e.event_type in ('purchase', 'return')
group by p.user_id
