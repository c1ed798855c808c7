-- What every user bought on every day. Orders are grouped before they are counted, which takes less than to count
-- distinct ones by group.
with placed as (
    select
        user_id,
        local_time::date as day,
        case when event_type = 'purchase' then coalesce(order_id, event_time::varchar) end as order_key,
        sum(
            case event_type when 'purchase' then price when 'return' then -price end * coalesce(quantity, 1)
        ) as revenue
    from active_events
    where event_time < $as_of and event_type in ('purchase', 'return')
    group by all
)
select user_id, day, count(order_key) as orders, sum(revenue) as revenue
from placed
group by user_id, day
