-- Moves as they are published: without the figures of those that fewer than $min_users users made or that touch a segment
-- that is hidden, and of as many besides that the number of all moves tells nothing of them. Reads hidden_segment.
create or replace temp table suppressed_transition as
with cells as (
    select
        t.*,
        (t.user_count > 0 and t.user_count < $min_users) or exists (
            select 1
            from hidden_segment as h
            where h.segmentation = t.segmentation and h.segment_id in (t.from_segment_id, t.to_segment_id)
        ) as few
    from segments.transition as t
),
found as (
    select
        *,
        few or (
            user_count > 0
            and bool_or(few and user_count > 0) over (partition by run_id, segmentation)
            and (
                count(*) filter (where user_count > 0) over few_first <= 2
                or sum(user_count) over few_first - user_count < $min_users
            )
        ) as suppressed
    from cells
    window few_first as (
        partition by run_id, segmentation
        order by few desc, user_count, from_segment_id nulls first, to_segment_id nulls first, cause
        rows unbounded preceding
    )
)
select
    * exclude (few, suppressed) replace (
        case when not suppressed then user_count end as user_count,
        case when not suppressed then revenue end as revenue
    ),
    suppressed
from found
