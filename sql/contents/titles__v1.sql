-- The titles of the items that a user buys, for a text encoder: in how many orders each was.
-- Needs a column `title` in sql/items.sql.
-- grain: user_id, text
select
    e.user_id,                                                                   -- #not_null the user
    i.title as text,                                                             -- #not_null the title
    count(distinct coalesce(e.order_id, e.event_time::varchar)) as weight        -- #range(1,) orders with an item of that title
from events as e
inner join items as i on i.item_id = e.item_id
where e.event_type = 'purchase' and trim(i.title) <> ''
group by e.user_id, i.title
