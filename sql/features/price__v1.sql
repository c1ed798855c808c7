-- How dear a user buys: the level of the prices paid within their categories, discounts and coupons.
-- A price's level is its place among the shop's cut points for the category: 0 below the cheapest tenth, 0.5 the
-- median, 1 above the dearest tenth. Lines in categories too small for cut points of their own are placed among all
-- prices of the shop.
-- grain: user_id
with lines as (
    select
        events.user_id,
        events.event_type,
        events.order_id,
        case when events.order_id is null then events.event_time end as instant,
        case when events.event_type = 'purchase' and events.price > 0 then events.price end as price,
        case when events.event_type = 'purchase' and events.price is not null then events.discount end as discount,
        events.price * coalesce(events.quantity, 1) as value,
        coalesce(own.p10, shop.p10) as p10,
        coalesce(own.p20, shop.p20) as p20,
        coalesce(own.p30, shop.p30) as p30,
        coalesce(own.p40, shop.p40) as p40,
        coalesce(own.p50, shop.p50) as p50,
        coalesce(own.p60, shop.p60) as p60,
        coalesce(own.p70, shop.p70) as p70,
        coalesce(own.p80, shop.p80) as p80,
        coalesce(own.p90, shop.p90) as p90
    from events
    left join stats.category_price_v1 as own on own.category = events.category
    left join stats.category_price_v1 as shop on shop.category is null
    where events.event_type in ('purchase', 'coupon')
),
levels as (
    select
        user_id,
        event_type,
        order_id,
        instant,
        discount,
        value,
        case
            when price is not null and p50 is not null then (
                case when price > p10 then 2 when price = p10 then 1 else 0 end
                + case when price > p20 then 2 when price = p20 then 1 else 0 end
                + case when price > p30 then 2 when price = p30 then 1 else 0 end
                + case when price > p40 then 2 when price = p40 then 1 else 0 end
                + case when price > p50 then 2 when price = p50 then 1 else 0 end
                + case when price > p60 then 2 when price = p60 then 1 else 0 end
                + case when price > p70 then 2 when price = p70 then 1 else 0 end
                + case when price > p80 then 2 when price = p80 then 1 else 0 end
                + case when price > p90 then 2 when price = p90 then 1 else 0 end
            ) / 18
        end as level
    from lines
),
orders as (
    select
        user_id,
        event_type,
        count(*) as lines,
        sum(level) as level,
        count(level) as levelled_lines,
        sum(case when discount > 0 then discount else 0 end) as discount,
        sum(case when discount is not null then value end) as value
    from levels
    group by user_id, event_type, order_id, instant
)
select
    user_id,                                                     -- #unique #not_null the user
    sum(level) / nullif(sum(levelled_lines), 0) as price_level,  -- #range(0,1) #high(premium) #low(bargain-hunting)
                                                                 -- price level: average level of the prices paid within their
                                                                 -- categories
    sum(case when event_type = 'purchase' then discount end)
    / nullif(
        sum(case when event_type = 'purchase' then discount + value end), 0
    ) as discount_share,                                         -- #range(0,1) #high(discount-driven)
                                                                 -- #low(full-price) discount share: discounts over the price before
                                                                 -- them; NULL where discounts are unknown
    sum(case when event_type = 'coupon' then lines else 0 end)
    / nullif(
        count(case when event_type = 'purchase' then 1 end), 0
    ) as coupons_per_order                                       -- #range(0,) #high(coupon-using) coupons in an order: coupons redeemed
                                                                 -- for one order
from orders
group by user_id
