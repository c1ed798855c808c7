-- What a user sends back: how much of the orders, pieces and revenue, and how soon.
-- Rates of users who bought and returned nothing are 0; of users who bought nothing, NULL. A rate stops at 1: more
-- comes back than was bought only where the purchase is older than the data.
-- grain: user_id
with orders as (
    select
        user_id,
        event_type,
        order_id,
        case when order_id is null then event_time end as instant,
        count(*) as lines,
        sum(coalesce(quantity, 1)) as quantity,
        sum(price * coalesce(quantity, 1)) as value
    from events
    where event_type in ('purchase', 'return')
    group by user_id, event_type, order_id, case when order_id is null then event_time end
),
totals as (
    select
        user_id,
        count(case when event_type = 'purchase' then 1 end) as orders,
        count(case when event_type = 'return' then 1 end) as returned_orders,
        sum(case when event_type = 'return' then lines else 0 end) as returned_lines,
        sum(case when event_type = 'purchase' then quantity else 0 end) as quantity,
        sum(case when event_type = 'return' then quantity else 0 end) as returned_quantity,
        sum(case when event_type = 'purchase' then value end) as value,
        case
            when count(case when event_type = 'return' then 1 end) > 0
                then sum(case when event_type = 'return' then value end)
            else 0
        end as returned_value
    from orders
    group by user_id
),
returned_items as (
    select user_id, item_id, event_time as returned_at, local_time
    from events
    where event_type = 'return' and item_id is not null
    group by user_id, item_id, event_time, local_time
),
waits as (
    select
        returned_items.user_id,
        returned_items.item_id,
        returned_items.returned_at,
        date_diff('day', max(purchases.local_time)::date, returned_items.local_time::date) as days
    from returned_items
    join events as purchases
        on purchases.user_id = returned_items.user_id
        and purchases.item_id = returned_items.item_id
        and purchases.event_time <= returned_items.returned_at
    where purchases.event_type = 'purchase'
    group by returned_items.user_id, returned_items.item_id, returned_items.returned_at, returned_items.local_time
),
average_waits as (
    select user_id, avg(days) as days
    from waits
    group by user_id
)
select
    totals.user_id,                                        -- #unique #not_null the user
    totals.returned_lines::bigint as returns,              -- #not_null #range(0,) #default(0) #high(often-returning)
                                                           -- lines returned
    least(totals.returned_orders, totals.orders)
    / nullif(totals.orders, 0) as return_rate_orders,      -- #range(0,1) #high(return-prone) #low(rarely returning)
                                                           -- returns in an order: returns (by order_id, else by instant) for one order
    least(totals.returned_quantity, totals.quantity)
    / nullif(totals.quantity, 0) as return_rate_quantity,  -- #range(0,1) share of pieces returned: of the pieces bought
    case
        when totals.returned_value is not null
            then least(totals.returned_value, totals.value) / nullif(totals.value, 0)
    end as return_rate_revenue,                            -- #range(0,1) share of value returned: of the value bought; NULL where prices are unknown
    average_waits.days as days_to_return                   -- #range(0,) #high(late-returning) #low(early-returning)
                                                           -- days until a return: the average from the latest purchase of an item to its
                                                           -- return
from totals
left join average_waits on average_waits.user_id = totals.user_id
