-- How each user stood at the cut: the plain RFM figures that the encoder is measured against.
-- grain: user_id
with orders as (
    select
        user_id,
        min(event_time) as order_time,
        sum(price * coalesce(quantity, 1)) as spend
    from events
    where event_type = 'purchase'
    group by user_id, order_id, case when order_id is null then event_time end
),
buyers as (
    select user_id, max(order_time) as last_order, min(order_time) as first_order, count(*) as orders, sum(spend) as spend
    from orders
    group by user_id
),
users as (
    select user_id, max(event_time) as last_event
    from events
    group by user_id
)
select
    users.user_id,
    date_diff('second', users.last_event, $cut::timestamp) / 86400.0 as idle_days,
    coalesce(date_diff('second', buyers.last_order, $cut::timestamp) / 86400.0, 1000.0) as recency_days,
    coalesce(buyers.orders, 0) as orders,
    coalesce(buyers.spend, 0) as spend,
    coalesce(date_diff('second', buyers.first_order, $cut::timestamp) / 86400.0, 0.0) as tenure_days
from users
left join buyers on buyers.user_id = users.user_id
order by users.user_id
