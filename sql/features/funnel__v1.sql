-- From looking to buying: how often a user views, searches, carts, favors and buys, and how much of one leads to the
-- next.
-- The rates are shares of items, over all time and in whatever order; NULL where the user has nothing to take a share
-- of.
-- grain: user_id
with touched as (
    select
        user_id,
        item_id,
        count(case when event_type = 'view' then 1 end) as views,
        count(case when event_type = 'search' then 1 end) as searches,
        count(case when event_type = 'cart' then 1 end) as carts,
        count(case when event_type = 'favorite' then 1 end) as favorites,
        count(case when event_type = 'purchase' then 1 end) as purchases
    from events
    where event_type in ('view', 'search', 'cart', 'favorite', 'purchase')
    group by user_id, item_id
),
totals as (
    select
        user_id,
        sum(views)::bigint as views,
        sum(searches)::bigint as searches,
        sum(carts)::bigint as carts,
        sum(favorites)::bigint as favorites,
        sum(purchases)::bigint as purchases,
        count(case when views > 0 then item_id end) as viewed,
        count(case when carts > 0 then item_id end) as carted,
        count(case when views > 0 and carts > 0 then item_id end) as viewed_and_carted,
        count(case when views > 0 and purchases > 0 then item_id end) as viewed_and_bought,
        count(case when carts > 0 and purchases > 0 then item_id end) as carted_and_bought
    from touched
    group by user_id
)
select
    user_id,                                       -- #unique #not_null the user
    views,                                         -- #not_null #range(0,) #default(0) #high(browsing) page views: items and pages
                                                   -- viewed
    searches,                                      -- #not_null #range(0,) #default(0) #high(searching) searches made
    carts,                                         -- #not_null #range(0,) #default(0) #high(cart-filling) items put
                                                   -- in the cart
    favorites,                                     -- #not_null #range(0,) #default(0) #high(wish-listing) items
                                                   -- marked as favorite
    purchases,                                     -- #not_null #range(0,) #default(0) #high(heavy-buying)
                                                   -- #low(light-buying) lines bought
    viewed_and_carted
    / nullif(viewed, 0) as view_to_cart_rate,      -- #range(0,1) #high(quick-to-cart) view to cart rate: share of the viewed items that
                                                   -- also went into the cart
    carted_and_bought
    / nullif(carted, 0) as cart_to_purchase_rate,  -- #range(0,1) #high(cart-completing) #low(cart-abandoning) cart to purchase rate: share
                                                   -- of the carted items that were also bought
    viewed_and_bought
    / nullif(viewed, 0) as view_to_purchase_rate   -- #range(0,1) #high(converting) #low(window-shopping) view to purchase rate: share of the
                                                   -- viewed items that were also bought
from totals
