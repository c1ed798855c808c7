-- The measures of a shop that make its users comparable with those of other shops: the spread of its prices, a typical order.
-- Prices are those of purchase lines where the shop has any, else of all events.
-- grain: one row
with orders as (
    select
        user_id,
        sum(price * coalesce(quantity, 1)) as spend
    from events
    where event_type = 'purchase'
    group by user_id, order_id, case when order_id is null then event_time end
),
typical as (
    select median(spend) as order_spend
    from orders
    where spend > 0
),
prices as (
    select
        quantile_cont(price, [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95])
            filter (where event_type = 'purchase') as paid,
        quantile_cont(price, [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]) as shown
    from events
    where price > 0
)
select
    coalesce(prices.paid, prices.shown)[1] as price_p05,  -- price below which 5% of the shop's lines are
    coalesce(prices.paid, prices.shown)[2] as price_p15,  -- price below which 15% of the shop's lines are
    coalesce(prices.paid, prices.shown)[3] as price_p25,  -- price below which 25% of the shop's lines are
    coalesce(prices.paid, prices.shown)[4] as price_p35,  -- price below which 35% of the shop's lines are
    coalesce(prices.paid, prices.shown)[5] as price_p45,  -- price below which 45% of the shop's lines are
    coalesce(prices.paid, prices.shown)[6] as price_p55,  -- price below which 55% of the shop's lines are
    coalesce(prices.paid, prices.shown)[7] as price_p65,  -- price below which 65% of the shop's lines are
    coalesce(prices.paid, prices.shown)[8] as price_p75,  -- price below which 75% of the shop's lines are
    coalesce(prices.paid, prices.shown)[9] as price_p85,  -- price below which 85% of the shop's lines are
    coalesce(prices.paid, prices.shown)[10] as price_p95, -- price below which 95% of the shop's lines are
    typical.order_spend as typical_order_spend            -- median spend of an order, before returns
from prices
cross join typical
