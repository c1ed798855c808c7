-- What each user of the population did from one moment on until another: orders placed, and revenue.
with orders as (
    select
        user_id,
        min(event_time) as ordered_at
    from sqlseg.events
    where event_type = 'purchase' and event_time < $until and user_id in (select user_id from sqlseg.population)
    group by user_id, order_id, case when order_id is null then event_time end
),
placed as (
    select
        user_id,
        count(*) as orders
    from orders
    where ordered_at >= $since
    group by user_id
),
spent as (
    select
        user_id,
        round(sum(case when event_type = 'purchase' then 1 else -1 end * price * coalesce(quantity, 1)), 6) as spend
    from sqlseg.events
    where event_type in ('purchase', 'return') and event_time >= $since and event_time < $until
    group by user_id
)
select
    coalesce(placed.orders, 0)::double as orders,
    coalesce(spent.spend, 0)::double as spend
from sqlseg.population as p
left join placed on placed.user_id = p.user_id
left join spent on spent.user_id = p.user_id
order by p.user_id
