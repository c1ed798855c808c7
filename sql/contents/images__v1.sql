-- The images of the items that a user buys, for an image encoder: in how many orders each was.
-- A user who bought nothing counts by what was put into a cart or marked as a favourite, and one who did neither by what was
-- looked at. Needs a column `image_path` in sql/items.sql: the path of a file, from the folder of sqlseg.toml.
-- grain: user_id, image
with counted as (
    select
        e.user_id,
        i.image_path as image,
        count(distinct case when e.event_type = 'purchase' then coalesce(e.order_id, e.event_time::varchar) end) as orders,
        count(distinct case when e.event_type in ('cart', 'favorite') then e.event_time end) as chosen,
        count(distinct case when e.event_type = 'view' then e.event_time end) as viewed
    from events as e
    inner join items as i on i.item_id = e.item_id
    where trim(i.image_path) <> '' and e.event_type in ('purchase', 'cart', 'favorite', 'view')
    group by e.user_id, i.image_path
),
totals as (
    select user_id, max(orders) as orders, max(chosen) as chosen
    from counted
    group by user_id
),
weighed as (
    select
        counted.user_id,
        counted.image,
        case when totals.orders > 0 then counted.orders when totals.chosen > 0 then counted.chosen else counted.viewed end as weight
    from counted
    inner join totals on totals.user_id = counted.user_id
)
select
    user_id,  -- #not_null the user
    image,    -- #not_null the path of the image
    weight    -- #range(1,) orders with an item of that image; without any order times chosen, else times viewed
from weighed
where weight > 0
