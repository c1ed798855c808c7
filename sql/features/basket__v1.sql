-- What a user's orders look like: how many lines and pieces, how much their value varies, how many different items
-- over all.
-- grain: user_id
with orders as (
    select
        user_id,
        count(*) as lines,
        sum(coalesce(quantity, 1)) as quantity,
        round(sum(price * coalesce(quantity, 1)), 6) as value
    from events
    where event_type = 'purchase'
    group by user_id, order_id, case when order_id is null then event_time end
),
baskets as (
    select
        user_id,
        avg(lines) as lines_per_order,
        avg(quantity) as quantity_per_order,
        case when count(value) >= 2 then stddev_samp(value) / nullif(avg(value), 0) end as order_value_variation
    from orders
    group by user_id
),
assortments as (
    select user_id, count(distinct item_id) as distinct_items
    from events
    where event_type = 'purchase'
    group by user_id
)
select
    baskets.user_id,                                          -- #unique #not_null the user
    baskets.lines_per_order,                                  -- #range(1,) #high(large-basket) #low(small-basket)
                                                              -- lines in an order: the average
    baskets.quantity_per_order,                               -- #range(0,) #high(bulk-buying) pieces in an order: the average
    nullif(assortments.distinct_items, 0) as distinct_items,  -- #range(0,) #default(0) #high(wide-ranging)
                                                              -- #low(narrow-ranging) different items: ever bought; NULL where no item is known
    baskets.order_value_variation                             -- #range(0,) #high(varying-basket) #low(steady-basket)
                                                              -- variation of order value: standard deviation of the order values over their
                                                              -- mean; NULL under two orders
from baskets
join assortments on assortments.user_id = baskets.user_id
