-- Recency, frequency and money of buyers.
-- Money is revenue: what was bought minus what was returned, rounded so that what is all returned leaves exactly 0. A
-- user who has only returns has a row, without a recency.
-- grain: user_id
with orders as (
    select
        user_id,
        event_type,
        order_id,
        case when order_id is null then event_time end as instant,
        min(local_time) as first_line_at,
        max(local_time) as last_line_at,
        sum(price * coalesce(quantity, 1)) as value
    from events
    where event_type in ('purchase', 'return')
    group by user_id, event_type, order_id, case when order_id is null then event_time end
)
select
    user_id,                                                        -- #unique #not_null the user
    date_diff(
        'day', max(case when event_type = 'purchase' then last_line_at end)::date, local_as_of()::date
    ) as recency_days,                                              -- #range(0,) #high(lapsed) #low(recently active)
                                                                    -- days since the last purchase
    count(case when event_type = 'purchase' then 1 end) as orders,  -- #not_null #range(0,) #default(0)
                                                                    -- #high(frequent) #low(infrequent) orders placed
    round(
        sum(case when event_type = 'purchase' then value else -value end), 6
    ) as spend,                                                     -- #default(0) #high(high-spending)
                                                                    -- #low(low-spending) spend: purchases minus returns;
                                                                    -- NULL where no price is known
    avg(
        case when event_type = 'purchase' then value end
    ) as average_order_value,                                       -- #range(0,) #high(big-ticket) #low(small-ticket)
                                                                    -- average order value: before returns
    date_diff(
        'day', min(case when event_type = 'purchase' then first_line_at end)::date, local_as_of()::date
    ) as tenure_days                                                -- #range(0,) #high(long-standing) #low(new) days
                                                                    -- since the first purchase
from orders
group by user_id
