-- How many days are read again, whether rows without a readable time are, and bounds of those days: NULL where they lie
-- beyond any calendar, as made-up times do.
select
    count(distinct day) as days,
    count(*) > count(day) as unreadable,
    case when min(day) >= date '0001-01-01' then min(day) end as first_day,
    case when max(day) < date '9000-01-01' then max(day) + 1 end as day_after
from reread_days
