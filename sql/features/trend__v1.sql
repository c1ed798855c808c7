-- Where a user is heading: the last 30 days against the 90 before, in orders, spend and active days.
-- Each is the logarithm of the ratio of two daily rates: 0 is unchanged, 0.7 doubled, -0.7 halved. Half an order (half
-- an active day, half of the user's average order) in 30 days is added to both rates, so that little evidence stays
-- near 0. A user first seen less than 120 days before as_of has a shorter "before"; under 60 days there is too little
-- of it, and everything is NULL.
-- grain: user_id
with seen as (
    select
        user_id,
        date_diff('day', min(local_time)::date, local_as_of()::date) as age
    from events
    group by user_id
),
active_days as (
    select user_id, local_time::date as day
    from events
    where local_time >= local_as_of() - interval 120 day
    group by user_id, local_time::date
),
activity as (
    select
        user_id,
        count(case when day >= local_as_of() - interval 30 day then 1 end) as days_now,
        count(case when day < local_as_of() - interval 30 day then 1 end) as days_before
    from active_days
    group by user_id
),
orders as (
    select
        user_id,
        max(local_time) as ordered_at,
        sum(price * coalesce(quantity, 1)) as value
    from events
    where event_type = 'purchase' and local_time >= local_as_of() - interval 120 day
    group by user_id, order_id, case when order_id is null then event_time end
),
purchases as (
    select
        user_id,
        count(case when ordered_at >= local_as_of() - interval 30 day then 1 end) as orders_now,
        count(case when ordered_at < local_as_of() - interval 30 day then 1 end) as orders_before,
        count(value) as valued_orders,
        round(sum(case when ordered_at >= local_as_of() - interval 30 day then value else 0 end), 6) as spend_now,
        round(sum(case when ordered_at < local_as_of() - interval 30 day then value else 0 end), 6) as spend_before
    from orders
    group by user_id
),
windows as (
    select
        seen.user_id,
        case when seen.age >= 60 then least(seen.age - 30, 90) end as length_before,
        coalesce(activity.days_now, 0) as days_now,
        coalesce(activity.days_before, 0) as days_before,
        coalesce(purchases.orders_now, 0) as orders_now,
        coalesce(purchases.orders_before, 0) as orders_before,
        coalesce(purchases.spend_now, 0) as spend_now,
        coalesce(purchases.spend_before, 0) as spend_before,
        case
            when purchases.user_id is null then 1
            else nullif(purchases.spend_now + purchases.spend_before, 0) / purchases.valued_orders
        end as average_value
    from seen
    left join activity on activity.user_id = seen.user_id
    left join purchases on purchases.user_id = seen.user_id
)
select
    user_id,             -- #unique #not_null the user
    ln(
        (orders_now + 0.5::double) / 30
        / ((orders_before + 0.5::double * length_before / 30) / length_before)
    ) as orders_trend,   -- #high(growing) #low(declining) trend of orders (0 is steady): log ratio of orders a day, last 30 days to the 90 before
    ln(
        (spend_now + 0.5::double * average_value) / 30
        / ((spend_before + 0.5::double * average_value * length_before / 30) / length_before)
    ) as spend_trend,    -- #high(rising-spend) #low(falling-spend) trend of spend (0 is steady): log ratio of spend a day (before returns); NULL
                         -- where no price is known
    ln(
        (days_now + 0.5::double) / 30
        / ((days_before + 0.5::double * length_before / 30) / length_before)
    ) as activity_trend  -- #high(increasingly active) #low(fading) trend of activity (0 is steady): log ratio of active days a day, last 30 days to
                         -- the 90 before
from windows
