-- How an item stands within its shop: its typical price and its popularity.
-- grain: item_id
with items as (
    select
        item_id,
        median(price) filter (where price > 0) as typical_price,
        count(*) as event_count
    from events
    where item_id is not null
    group by item_id
)
select
    item_id,                                                                                                                               -- #unique #not_null the item
    typical_price,                                                                                                                         -- median price per unit; NULL where none is known
    round(1 - (sum(event_count) over (order by event_count desc, item_id) - event_count / 2) / sum(event_count) over (), 3) as popularity  -- #range(0,1) share of the shop's events that are about less popular items, half of its own included
from items
