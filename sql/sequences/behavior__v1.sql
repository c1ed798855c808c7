-- What the behaviour encoder reads: a user's last 64 tokens, in the shop's own measures instead of its vocabulary.
-- A token is an order (all its purchase lines), or the other events of one type at one instant. Absolute dates and the time
-- since the last event are not in it, so an embedding stays valid until its user does something. Sums over lines are of whole
-- numbers, or rounded before they are used, so that the same events give the very same tokens in whatever order they come.
-- grain: user_id, position
with lines as (
    select
        e.user_id,
        e.event_time,
        e.local_time,
        e.event_type,
        case when e.event_type = 'purchase' then e.order_id end as order_id,
        case when e.event_type <> 'purchase' or e.order_id is null then e.event_time end as instant,
        e.item_id,
        e.category,
        coalesce(e.quantity, 1) as quantity,
        e.discount,
        e.price * coalesce(e.quantity, 1) as spend,
        round(1000 * i.popularity)::integer as popularity,
        case when e.price > 0 then e.price else i.typical_price end as price
    from events as e
    left join stats.item_standing_v1 as i on i.item_id = e.item_id
    where e.event_type in ('view', 'search', 'cart', 'favorite', 'purchase', 'return', 'review', 'coupon')
),
scaled as (
    select
        lines.*,
        s.typical_order_spend,
        (
            (price > s.price_p05)::int + (price > s.price_p15)::int + (price > s.price_p25)::int + (price > s.price_p35)::int
            + (price > s.price_p45)::int + (price > s.price_p55)::int + (price > s.price_p65)::int + (price > s.price_p75)::int
            + (price > s.price_p85)::int + (price > s.price_p95)::int
        ) as price_steps
    from lines
    cross join stats.shop_scale_v1 as s
),
tokens as (
    select
        user_id,
        event_type,
        order_id,
        min(event_time) as token_time,
        min(local_time) as local_time,
        count(*) as line_count,
        round(sum(quantity), 6) as quantity,
        round(sum(discount), 6) as discount,
        round(sum(spend), 6) as spend,
        case when event_type in ('purchase', 'return') then nullif(round(sum(spend), 6), 0) / max(typical_order_spend) end as relative_spend,
        sum(price_steps) / (10.0 * count(price_steps)) as price_quantile,
        sum(popularity) / (1000.0 * count(popularity)) as popularity,
        min(item_id) as item_id,
        min(category) as category
    from scaled
    group by user_id, event_type, order_id, instant
),
placed as (
    select
        *,
        row_number() over history as place,
        count(*) over (partition by user_id) as token_count,
        min(token_time) over (partition by user_id) as first_time,
        lag(token_time) over history as previous_time,
        lag(item_id) over history as previous_item,
        lag(category) over history as previous_category
    from tokens
    window history as (
        partition by user_id
        order by token_time, case event_type when 'search' then 1 when 'view' then 2 when 'favorite' then 3 when 'cart' then 4 when 'coupon' then 5 when 'purchase' then 6 when 'review' then 7 else 8 end, order_id nulls last
    )
)
select
    user_id,                                                                                                                       -- #not_null the user
    (place - greatest(token_count - 64, 0))::integer as position,                                                                  -- #not_null #range(1,64) 1 is the oldest of the kept tokens
    (event_type = 'view')::float as is_view,                                                                                       -- #not_null #range(0,1) an item was looked at
    (event_type = 'search')::float as is_search,                                                                                   -- #not_null #range(0,1) something was searched
    (event_type = 'cart')::float as is_cart,                                                                                       -- #not_null #range(0,1) something went into the cart
    (event_type = 'favorite')::float as is_favorite,                                                                               -- #not_null #range(0,1) something was marked as a favourite
    (event_type = 'purchase')::float as is_purchase,                                                                               -- #not_null #range(0,1) an order
    (event_type = 'return')::float as is_return,                                                                                   -- #not_null #range(0,1) something was sent back
    (event_type = 'review')::float as is_review,                                                                                   -- #not_null #range(0,1) a review
    (event_type = 'coupon')::float as is_coupon,                                                                                   -- #not_null #range(0,1) a coupon was used
    (previous_time is not null)::float as has_gap,                                                                                 -- #not_null #range(0,1) a token came before
    coalesce(round(ln(1 + date_diff('second', previous_time, token_time) / 60.0) / 5, 4), 0)::float as log_gap,                    -- #not_null #range(0,) log of the minutes since the token before
    round(ln(1 + date_diff('second', first_time, token_time) / 86400.0) / 5, 4)::float as log_tenure,                              -- #not_null #range(0,) log of the days since the user's first token
    round(ln(place) / 4, 4)::float as log_place,                                                                                   -- #not_null #range(0,) log of the number of tokens up to this one
    round(sin(2 * pi() * (hour(local_time) + minute(local_time) / 60.0) / 24), 4)::float as hour_sin,                              -- #not_null #range(-1,1) time of day, local
    round(cos(2 * pi() * (hour(local_time) + minute(local_time) / 60.0) / 24), 4)::float as hour_cos,                              -- #not_null #range(-1,1) time of day, local
    round(sin(2 * pi() * dayofweek(local_time) / 7.0), 4)::float as weekday_sin,                                                   -- #not_null #range(-1,1) day of the week, local
    round(cos(2 * pi() * dayofweek(local_time) / 7.0), 4)::float as weekday_cos,                                                   -- #not_null #range(-1,1) day of the week, local
    (price_quantile is not null)::float as price_known,                                                                            -- #not_null #range(0,1) the price of at least one line is known
    coalesce(round(price_quantile - 0.5, 4), 0)::float as price_quantile,                                                          -- #not_null #range(-0.5,0.5) where the price lies among the shop's prices, mean over the lines
    (popularity is not null)::float as item_known,                                                                                 -- #not_null #range(0,1) the item is known to the shop's statistics
    coalesce(round(popularity - 0.5, 4), 0)::float as popularity,                                                                  -- #not_null #range(-0.5,0.5) how popular the item is in the shop, mean over the lines
    coalesce((item_id = previous_item)::float, 0)::float as same_item,                                                             -- #not_null #range(0,1) about the same item as the token before
    coalesce((category = previous_category)::float, 0)::float as same_category,                                                    -- #not_null #range(0,1) about the same category as the token before
    round(ln(line_count), 4)::float as log_lines,                                                                                  -- #not_null #range(0,) log of the number of lines
    round(ln(1 + quantity) / 2, 4)::float as log_quantity,                                                                         -- #not_null #range(0,) log of the units of all lines
    (relative_spend is not null)::float as spend_known,                                                                            -- #not_null #range(0,1) an order or return whose worth is known
    case when relative_spend is null then 0 else round(greatest(least(ln(relative_spend), 5), -5) / 2, 4) end::float as log_spend, -- #not_null #range(-2.5,2.5) log of the worth against the shop's typical order
    coalesce(round(discount / nullif(discount + spend, 0), 4), 0)::float as discount_share                                         -- #not_null #range(0,1) part of the list price that was taken off
from placed
where place > token_count - 64
