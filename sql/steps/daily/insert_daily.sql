-- Activity by day and segment. A user counts for the segment held at the end of the day.
-- Every day of the last ten years has its rows; of days before that, those on which something was bought or returned.
-- Reads counted_days and days_of_shop.
insert into segments.daily
with every_day as (
    select unnest(generate_series(
        greatest(first_day::timestamp, last_day::timestamp - interval 10 year), last_day::timestamp, interval 1 day
    ))::date as day
    from days_of_shop
),
-- One stray event of the year 1 must not make a row of every day since.
calendar as (
    select day, true as shown from every_day
    union all
    select distinct day, false as shown from counted_days where day not in (select day from every_day)
),
sizes as (
    select
        s.segment_id, c.day, c.shown, b.user_days, b.buyers, b.orders, b.revenue,
        sum(coalesce(b.arrivals, 0)) over (partition by s.segment_id order by c.day) as user_count
    from (select distinct segment_id from counted_days) as s
    cross join calendar as c
    left join counted_days as b on b.segment_id = s.segment_id and b.day = c.day
)
select
    z.day,
    $segmentation,
    z.segment_id,
    g.segment_name,
    z.user_count,
    coalesce(z.buyers, 0),
    coalesce(z.orders, 0),
    coalesce(z.revenue, 0)
from sizes as z
join segments.segment as g on z.segment_id = g.segment_id
where (z.user_count > 0 and z.shown) or z.user_days > 0
order by z.day, z.segment_id
