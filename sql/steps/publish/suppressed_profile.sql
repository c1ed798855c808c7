-- Profiles as they are published: without those of segments that are hidden or of which fewer than $min_users users have
-- a value, and without as many besides that the mean of all users tells nothing of them. Reads hidden_segment.
create or replace temp table suppressed_profile as
with cells as (
    select p.*, h.segment_id is not null or (p.user_count > 0 and p.user_count < $min_users) as few
    from segments.profile as p
    left join hidden_segment as h on h.segmentation = p.segmentation and h.segment_id = p.segment_id
),
found as (
    select
        *,
        few or (
            user_count > 0
            and bool_or(few and user_count > 0) over (partition by segmentation, feature)
            and (
                count(*) filter (where user_count > 0) over few_first <= 2
                or sum(user_count) over few_first - user_count < $min_users
            )
        ) as suppressed
    from cells
    window few_first as (partition by segmentation, feature order by few desc, user_count, segment_id)
)
select
    * exclude (few, suppressed) replace (
        case when not suppressed then user_count end as user_count,
        case when not suppressed then mean end as mean,
        case when not suppressed then median end as median,
        case when not suppressed then p10 end as p10,
        case when not suppressed then p90 end as p90,
        case when not suppressed then lift end as lift,
        case when not suppressed then z end as z,
        case when not suppressed then rank end as rank,
        case when not suppressed then mean_low end as mean_low,
        case when not suppressed then mean_high end as mean_high,
        case when not suppressed then effect_size end as effect_size,
        case when not suppressed then effect_low end as effect_low,
        case when not suppressed then effect_high end as effect_high
    ),
    suppressed
from found
