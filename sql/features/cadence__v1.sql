-- The beat of a user's purchases: how long between two of them, how regular, how late the next one is.
-- Counted in purchase days, so that an order split in two on one day is one beat; a gap is at least one day. With one
-- purchase day there is no gap, and everything is NULL.
-- grain: user_id
with purchase_days as (
    select user_id, local_time::date as day
    from events
    where event_type = 'purchase'
    group by user_id, local_time::date
),
gaps as (
    select
        user_id,
        day,
        date_diff('day', lag(day) over (partition by user_id order by day), day) as gap
    from purchase_days
)
select
    user_id,                         -- #unique #not_null the user
    median(gap) as gap_median_days,  -- #range(1,) #high(slow-paced) #low(fast-paced) days between purchases: the median, from one purchase
                                     -- day to the next
    case
        when count(gap) >= 2 then stddev_samp(gap) / avg(gap)
    end as gap_variation,            -- #range(0,) #high(irregular) #low(regular) irregularity of purchases: standard deviation of the gaps over
                                     -- their mean; NULL under two gaps
    date_diff('day', max(day), local_as_of()::date)
    / median(gap) as overdue_ratio,  -- #range(0,) #high(overdue) #low(on schedule) overdue ratio: days since the last purchase over
                                     -- the user's own median gap: above 1 is late
    median(gap) - date_diff(
        'day', max(day), local_as_of()::date
    ) as next_purchase_in_days       -- days until the next purchase: due by the median gap; negative when overdue
from gaps
group by user_id
