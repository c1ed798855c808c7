-- How many users come to a segment on a day, less those who leave it, and what its users buy on that day.
-- Reads stays_now and stays_then: stays that count from now on, and stays that counted before and no longer do;
-- days_counted and stays_counted: what was bought on the days to count, and the stays of those who bought it.
-- Of all other days what was counted before holds.
create or replace temp table counted_days as
with arrivals as (
    select segment_id, day, sum(change)::bigint as arrivals
    from (
        select segment_id, first_day as day, 1 as change from stays_now
        union all
        select segment_id, end_day as day, -1 as change from stays_now where end_day is not null
        union all
        select segment_id, first_day as day, -1 as change from stays_then
        union all
        select segment_id, end_day as day, 1 as change from stays_then where end_day is not null
        union all
        select segment_id, day, arrivals as change from sqlseg.segment_day where segmentation = $segmentation
    )
    group by segment_id, day
    having sum(change) <> 0
),
bought as (
    select
        s.segment_id,
        d.day,
        count(*) as user_days,
        count(*) filter (where d.orders > 0) as buyers,
        sum(d.orders)::bigint as orders,
        sum(coalesce(d.revenue, 0)) as revenue
    from days_counted as d
    join stays_counted as s
        on s.user_id = d.user_id and d.day >= s.first_day and (s.end_day is null or d.day < s.end_day)
    group by s.segment_id, d.day
    union all
    select segment_id, day, user_days, buyers, orders, revenue
    from sqlseg.segment_day
    where segmentation = $segmentation and user_days > 0 and day not in (select day from changed_days)
)
select
    coalesce(a.segment_id, b.segment_id) as segment_id,
    coalesce(a.day, b.day) as day,
    coalesce(a.arrivals, 0) as arrivals,
    coalesce(b.user_days, 0) as user_days,
    coalesce(b.buyers, 0) as buyers,
    coalesce(b.orders, 0) as orders,
    coalesce(b.revenue, 0) as revenue
from arrivals as a
full join bought as b on b.segment_id = a.segment_id and b.day = a.day
