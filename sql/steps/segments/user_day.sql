-- What every user bought on every day.
select
    user_id,
    local_time::date as day,
    count(distinct coalesce(order_id, event_time::varchar)) filter (where event_type = 'purchase') as orders,
    sum(
        case event_type when 'purchase' then price when 'return' then -price end * coalesce(quantity, 1)
    ) as revenue
from active_events
where event_time < $as_of and event_type in ('purchase', 'return')
group by user_id, local_time::date
