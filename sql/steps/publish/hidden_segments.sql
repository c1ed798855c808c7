-- Segments whose figures are withheld: those of fewer users than $min_users, and where there is one, the next smallest
-- besides, until there are two at least with as many users together. Otherwise the total less the others would tell.
create or replace temp table hidden_segment as
with sizes as (
    select segmentation, segment_id, user_count, user_count < $min_users as small
    from segments.segment
    where retired_at is null and user_count > 0
),
ordered as (
    select
        segmentation, segment_id, small,
        bool_or(small) over (partition by segmentation) as any_small,
        count(*) over smallest_first as cells,
        sum(user_count) over smallest_first - user_count as users_before
    from sizes
    window smallest_first as (partition by segmentation order by user_count, segment_id)
)
select segmentation, segment_id
from ordered
where small or (any_small and (cells <= 2 or users_before < $min_users))
