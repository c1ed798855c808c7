-- Complete Journey: a year of grocery shopping. Every line of a receipt is a purchase, every coupon redeemed a coupon event.
with lines as (
    select
        t.household_id::varchar as user_id,
        t.transaction_timestamp as event_time,          -- UTC: the year 2017 ends at 04:01 on 1 January, 23:01 in New York
        t.product_id::varchar as item_id,
        coalesce(p.product_category, p.department) as category,
        t.basket_id::varchar as order_id,
        t.sales_value,
        t.retail_disc + t.coupon_disc + t.coupon_match_disc as discount,
        -- Gasoline is counted in thousandths, at a fraction of a cent each: one fill is one unit here.
        case when t.quantity = 0 or p.product_type = 'GASOLINE-REG UNLEADED' then 1 else t.quantity end as quantity
    from read_parquet('data/transactions.parquet') as t
    left join read_parquet('data/products.parquet') as p using (product_id)
)
select
    user_id,
    event_time,
    'purchase' as event_type,
    item_id,
    category,
    order_id,
    sales_value / quantity as price,
    discount,
    quantity::double as quantity
from lines
union all by name
select
    household_id::varchar as user_id,
    redemption_date + interval 17 hours as event_time,  -- known by the day only: noon in New York
    'coupon' as event_type,
    'coupon ' || coupon_upc as item_id,
    'campaign ' || campaign_id as category
from read_parquet('data/coupon_redemptions.parquet')
