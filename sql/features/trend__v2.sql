-- Where a user is heading: the last 30 days against the 90 before, in orders, spend and active days.
-- Each is the logarithm of the ratio of two daily rates: 0 is unchanged, 0.7 doubled, -0.7 halved. Half an order (half
-- an active day, half of the user's average order) in 30 days is added to both rates, so that little evidence stays
-- near 0. A user first seen less than 120 days before as_of has a shorter "before"; under 60 days there is too little
-- of it, and everything is NULL.
-- Nobody becomes steady by staying away: where the last order (the last active day) before the last 30 days is more
-- than 60 days ago, the 90 days end 29 days after it. So a trend stands still from the 61st day of silence on, and
-- who comes back is compared with the habits of then.
-- grain: user_id
with days as (
    select user_id, local_time::date as day, date_diff('day', local_time::date, local_as_of()::date) as days_ago
    from events
    group by user_id, local_time::date
),
seen as (
    select
        user_id,
        max(days_ago) as age,
        case when max(days_ago) >= 60 then least(max(days_ago) - 30, 90) end as length_before,
        greatest(coalesce(min(case when days_ago > 30 then days_ago end), 0) - 30, 30) as before_until
    from days
    group by user_id
),
activity as (
    select
        days.user_id,
        count(case when days.days_ago <= 30 then 1 end) as days_now,
        count(
            case
                when days.days_ago > seen.before_until and days.days_ago <= seen.before_until + seen.length_before then 1
            end
        ) as days_before
    from days
    inner join seen on seen.user_id = days.user_id
    group by days.user_id
),
orders as (
    select
        user_id,
        date_diff('day', max(local_time)::date, local_as_of()::date) as days_ago,
        sum(price * coalesce(quantity, 1)) as value
    from events
    where event_type = 'purchase'
    group by user_id, order_id, case when order_id is null then event_time end
),
bought as (
    select
        user_id,
        greatest(coalesce(min(case when days_ago > 30 then days_ago end), 0) - 30, 30) as before_until
    from orders
    group by user_id
),
compared as (
    select
        orders.user_id,
        orders.value,
        orders.days_ago <= 30 as is_now,
        orders.days_ago > bought.before_until
        and orders.days_ago <= bought.before_until + seen.length_before as is_before
    from orders
    inner join bought on bought.user_id = orders.user_id
    inner join seen on seen.user_id = orders.user_id
),
purchases as (
    select
        user_id,
        count(case when is_now then 1 end) as orders_now,
        count(case when is_before then 1 end) as orders_before,
        count(case when is_now or is_before then value end) as valued_orders,
        round(sum(case when is_now then value else 0 end), 6) as spend_now,
        round(sum(case when is_before then value else 0 end), 6) as spend_before
    from compared
    group by user_id
),
windows as (
    select
        seen.user_id,
        seen.length_before,
        activity.days_now,
        activity.days_before,
        coalesce(purchases.orders_now, 0) as orders_now,
        coalesce(purchases.orders_before, 0) as orders_before,
        coalesce(purchases.spend_now, 0) as spend_now,
        coalesce(purchases.spend_before, 0) as spend_before,
        case
            when purchases.user_id is null then 1
            else nullif(purchases.spend_now + purchases.spend_before, 0) / nullif(purchases.valued_orders, 0)
        end as average_value
    from seen
    inner join activity on activity.user_id = seen.user_id
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
