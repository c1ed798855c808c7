-- Stays by day: the first one reaches back to the user's first event, a later one begins on the day of its valid_from.
-- A stay reaches up to the next one, over the days of users (or segmentations) that were gone and are back.
-- Reads first_days (user_id, day), which says whose stays are looked at. A refresh has one moment for all that move in it:
-- moments are few, and to look up the clock of a time zone takes longer than all else here.
with stays as materialized (
    select
        h.user_id,
        h.segment_id,
        f.day as first_day,
        row_number() over (partition by h.user_id order by h.valid_from) = 1 as is_first,
        h.valid_from,
        coalesce(lead(h.valid_from) over (partition by h.user_id order by h.valid_from), h.valid_to) as valid_to
    from segments.membership_history as h
    join first_days as f on h.user_id = f.user_id
    where h.segmentation = $segmentation
),
moments as (
    select moment, timezone($timezone, timezone('UTC', moment))::date as day
    from (
        select valid_from as moment from stays
        union
        select valid_to as moment from stays
    )
),
by_day as (
    select
        s.user_id,
        s.segment_id,
        case when s.is_first then s.first_day else greatest(s.first_day, b.day) end as first_day,
        e.day as end_day
    from stays as s
    join moments as b on b.moment = s.valid_from
    left join moments as e on e.moment = s.valid_to
)
select user_id, segment_id, first_day, case when end_day is not null then greatest(end_day, first_day) end as end_day
from by_day
