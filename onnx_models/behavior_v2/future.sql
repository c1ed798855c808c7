-- What each user ordered within some days after a cut: the targets of pretraining and of the evaluation.
-- grain: user_id, window_days
with orders as (
    select
        user_id,
        min(event_time) as order_time,
        sum(price * coalesce(quantity, 1)) as spend
    from history
    where event_type = 'purchase' and event_time >= $cut::timestamp
    group by user_id, order_id, case when order_id is null then event_time end
)
select
    users.user_id,
    windows.window_days,
    count(orders.order_time) as orders,
    coalesce(sum(orders.spend), 0) as spend
from (select distinct user_id from events) as users
cross join (select unnest($windows::integer[]) as window_days) as windows
left join orders
    on orders.user_id = users.user_id
    and orders.order_time < $cut::timestamp + windows.window_days * interval 1 day
group by users.user_id, windows.window_days
order by users.user_id, windows.window_days
