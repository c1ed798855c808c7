-- Days on which what the changed_users bought is other than before, or counts for another segment.
-- Reads days_then with stays_then, and days_now with stays_now.
create or replace temp table changed_days as
with counted_then as (
    select s.segment_id, d.user_id, d.day, d.orders, d.revenue
    from days_then as d
    join stays_then as s
        on s.user_id = d.user_id and d.day >= s.first_day and (s.end_day is null or d.day < s.end_day)
),
counted_now as (
    select s.segment_id, d.user_id, d.day, d.orders, d.revenue
    from days_now as d
    join stays_now as s
        on s.user_id = d.user_id and d.day >= s.first_day and (s.end_day is null or d.day < s.end_day)
)
select distinct day
from (
    (from counted_then except all from counted_now)
    union all
    (from counted_now except all from counted_then)
)
