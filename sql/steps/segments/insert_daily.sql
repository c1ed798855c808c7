-- Activity by day and segment. A user counts for the segment held at the end of the day.
-- Every day of the last ten years has its rows; of days before that, those on which something was bought or returned.
insert into segments.daily
with changes as (
    select segment_id, first_day as day, 1 as change from stays_by_day
    union all
    select segment_id, greatest(end_day, first_day) as day, -1 as change from stays_by_day where end_day is not null
),
last_day as (
    select max(local_time)::date as day from sqlseg.events where event_time < $as_of
),
every_day as (
    select unnest(generate_series(
        greatest((select min(day) from sqlseg.first_day)::timestamp, last_day.day::timestamp - interval 10 year),
        last_day.day::timestamp,
        interval 1 day
    ))::date as day
    from last_day
),
-- One stray event of the year 1 must not make a row of every day since.
calendar as (
    select day, true as shown from every_day
    union all
    select day, false as shown
    from (select day from changes union select day from sqlseg.user_day)
    where day not in (select day from every_day)
),
change_by_day as (
    select segment_id, day, sum(change) as change from changes group by segment_id, day
),
sizes as (
    select
        s.segment_id, c.day, c.shown,
        sum(coalesce(b.change, 0)) over (partition by s.segment_id order by c.day) as user_count
    from (select distinct segment_id from stays_by_day) as s
    cross join calendar as c
    left join change_by_day as b on b.segment_id = s.segment_id and b.day = c.day
),
bought as (
    select
        s.segment_id,
        d.day,
        count(*) filter (where d.orders > 0) as buyers,
        sum(d.orders) as orders,
        sum(coalesce(d.revenue, 0)) as revenue
    from sqlseg.user_day as d
    join stays_by_day as s
        on s.user_id = d.user_id and d.day >= s.first_day and (s.end_day is null or d.day < s.end_day)
    group by s.segment_id, d.day
)
select
    z.day,
    $segmentation,
    z.segment_id,
    g.segment_name,
    z.user_count,
    coalesce(b.buyers, 0),
    coalesce(b.orders, 0),
    coalesce(b.revenue, 0)
from sizes as z
join segments.segment as g on z.segment_id = g.segment_id
left join bought as b on b.segment_id = z.segment_id and b.day = z.day
where (z.user_count > 0 and z.shown) or b.segment_id is not null
order by z.day, z.segment_id
