-- What a user buys, by category: in how many orders each category was.
-- A user who bought nothing counts by what was put into a cart or marked as a favourite, and one who did neither by what was
-- looked at: so those who only browse have a taste too, and nobody's views outweigh what was paid for.
-- grain: user_id, term
with counted as (
    select
        user_id,
        category as term,
        count(distinct case when event_type = 'purchase' then coalesce(order_id, event_time::varchar) end) as orders,
        count(distinct case when event_type in ('cart', 'favorite') then event_time end) as chosen,
        count(distinct case when event_type = 'view' then event_time end) as viewed
    from events
    where category is not null and event_type in ('purchase', 'cart', 'favorite', 'view')
    group by user_id, category
),
totals as (
    select user_id, max(orders) as orders, max(chosen) as chosen
    from counted
    group by user_id
),
weighed as (
    select
        counted.user_id,
        counted.term,
        case when totals.orders > 0 then counted.orders when totals.chosen > 0 then counted.chosen else counted.viewed end as weight
    from counted
    inner join totals on totals.user_id = counted.user_id
)
select
    user_id,  -- #not_null the user
    term,     -- #not_null the category
    weight    -- #range(1,) orders with the category; without any order times chosen, else times viewed
from weighed
where weight > 0
