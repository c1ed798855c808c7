-- Of each segmentation, how many users were there then and are there now, and how many of these are elsewhere.
with stays as (
    select
        segmentation, user_id,
        max(segment_id) filter (
            where valid_from <= $then and (valid_to is null or valid_to > $then)
        ) as before_id,
        max(segment_id) filter (
            where valid_from <= $now and (valid_to is null or valid_to > $now)
        ) as after_id
    from segments.membership_history
    where $segmentation is null or segmentation = $segmentation
    group by segmentation, user_id
)
select
    segmentation,
    count(before_id) as users_before,
    count(after_id) as users_after,
    count(*) filter (where before_id <> after_id) as users_elsewhere
from stays
group by segmentation
order by segmentation
