-- What behavior@3 reads: a user's last 64 tokens, as plain figures: their logarithms, sines and flags, which behavior__v1
-- gives, are left to the model.
-- A token is an order (all its purchase lines), or the other events of one type at one instant. Absolute dates and the time
-- since the last event are not in it, so an embedding stays valid until its user does something. Sums over lines are of whole
-- numbers, or rounded before they are used, so that the same events give the very same tokens in whatever order they come.
-- An order is about its first item and category by name; their hashes are only compared, as they are shorter to carry.
-- grain: user_id, position
with lines as (
    select
        e.user_id,
        e.event_time,
        e.local_time,
        case e.event_type when 'search' then 1 when 'view' then 2 when 'favorite' then 3 when 'cart' then 4 when 'coupon' then 5 when 'purchase' then 6 when 'review' then 7 else 8 end::utinyint as kind,
        case when e.event_type = 'purchase' then e.order_id end as order_id,
        case when e.event_type <> 'purchase' or e.order_id is null then e.event_time end as instant,
        e.item_id,
        e.category,
        coalesce(e.quantity, 1) as quantity,
        e.discount,
        e.price * coalesce(e.quantity, 1) as spend,
        round(1000 * i.popularity) as popularity,
        case when e.price > 0 then e.price else i.typical_price end as price
    from events as e
    left join stats.item_standing_v1 as i on i.item_id = e.item_id
    where e.event_type in ('view', 'search', 'cart', 'favorite', 'purchase', 'return', 'review', 'coupon')
),
scaled as (
    select
        lines.*,
        (
            (price > s.price_p05)::utinyint + (price > s.price_p15)::utinyint + (price > s.price_p25)::utinyint + (price > s.price_p35)::utinyint
            + (price > s.price_p45)::utinyint + (price > s.price_p55)::utinyint + (price > s.price_p65)::utinyint + (price > s.price_p75)::utinyint
            + (price > s.price_p85)::utinyint + (price > s.price_p95)::utinyint
        )::double as price_steps
    from lines
    cross join stats.shop_scale_v1 as s
),
tokens as (
    select
        user_id,
        kind,
        order_id,
        min(event_time) as token_time,
        min(local_time) as local_time,
        count(*) as lines,
        round(sum(quantity), 6) as quantity,
        round(sum(discount), 6) as discount,
        round(sum(spend), 6) as spend,
        avg(price_steps) / 10 as price_quantile,
        avg(popularity) / 1000 as popularity,
        case when min(item_id) is not null then hash(min(item_id)) end as item,
        case when min(category) is not null then hash(min(category)) end as category
    from scaled
    group by user_id, kind, order_id, instant
),
placed as (
    select
        *,
        row_number() over history as place,
        count(*) over (partition by user_id) as token_count,
        date_diff('second', first_value(token_time) over history, token_time) as tenure,
        date_diff('second', lag(token_time) over history, token_time) as gap,
        item = lag(item) over history as same_item,
        category = lag(category) over history as same_category
    from tokens
    window history as (partition by user_id order by token_time, kind, order_id nulls last)
)
select
    user_id,                                                                                                                                -- #not_null the user
    (place - greatest(token_count - 64, 0))::integer as position,                                                                           -- #not_null #range(1,64) 1 is the oldest of the kept tokens
    kind::float as kind,                                                                                                                    -- #not_null #range(1,8) 1 search, 2 view, 3 favourite, 4 cart, 5 coupon, 6 order, 7 review, 8 return: their order at one instant
    (1440 * dayofweek(local_time) + 60 * hour(local_time) + minute(local_time))::float as minute,                                           -- #not_null #range(0,10079) minutes since the local midnight before Sunday
    tenure::float as tenure,                                                                                                                -- #not_null #range(0,) seconds since the user's first token
    place::float as place,                                                                                                                  -- #not_null #range(1,) the number of tokens up to this one
    lines::float as lines,                                                                                                                  -- #not_null #range(1,) lines of the order, or events
    least(quantity, 1e15)::float as quantity,                                                                                               -- #not_null #range(0,) units of all lines
    coalesce(gap, -1)::float as gap,                                                                                                        -- #not_null #range(-1,) seconds since the token before; -1 for the first of all
    case when kind in (6, 8) then least(coalesce(nullif(spend, 0) / s.typical_order_spend, -1), 1000) else -1 end::float as relative_spend, -- #not_null #range(-1,1000) worth of an order or return against the shop's typical order; -1 where it is not known, or nothing
    coalesce(price_quantile, -1)::float as price_quantile,                                                                                  -- #not_null #range(-1,1) where the price lies among the shop's prices, mean over the lines; -1 where no price is known
    coalesce(popularity, -1)::float as popularity,                                                                                          -- #not_null #range(-1,1) how popular the item is in the shop, mean over the lines; -1 where the shop's statistics do not know it
    coalesce(same_item, false)::float as same_item,                                                                                         -- #not_null #range(0,1) about the same item as the token before
    coalesce(same_category, false)::float as same_category,                                                                                 -- #not_null #range(0,1) about the same category as the token before
    coalesce(discount / nullif(discount + spend, 0), 0)::float as discount_share                                                            -- #not_null #range(0,1) part of the list price that was taken off
from placed
cross join stats.shop_scale_v1 as s
where place > token_count - 64
