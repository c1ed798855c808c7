-- Stays by day: the first one reaches back to the user's first event, a later one begins on the day of its valid_from.
-- A stay reaches up to the next one, over the days of users (or segmentations) that were gone and are back.
-- Reads first_days (user_id, day), which says whose stays are looked at.
with stays as (
    select
        h.user_id,
        h.segment_id,
        case
            when row_number() over (partition by h.user_id order by h.valid_from) = 1 then f.day
            else greatest(f.day, timezone($timezone, timezone('UTC', h.valid_from))::date)
        end as first_day,
        timezone($timezone, timezone('UTC', coalesce(
            lead(h.valid_from) over (partition by h.user_id order by h.valid_from), h.valid_to
        )))::date as end_day
    from segments.membership_history as h
    join first_days as f on h.user_id = f.user_id
    where h.segmentation = $segmentation
)
select user_id, segment_id, first_day, case when end_day is not null then greatest(end_day, first_day) end as end_day
from stays
