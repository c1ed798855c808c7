-- Measures as they are published: without those of single segments that are hidden, and without the share of the smallest
-- one where that was of fewer than $min_users users, or is hidden now. Reads hidden_segment.
create or replace temp table suppressed_metric as
with found as (
    select
        m.*,
        exists (
            select 1
            from hidden_segment as h
            where h.segmentation = m.segmentation
                and (ends_with(m.metric, '[' || h.segment_id || ']') or m.metric = 'smallest_share')
        )
        or coalesce(
            m.metric = 'smallest_share' and round(m.value * r.users_total) between 1 and $min_users - 1, false
        ) as suppressed
    from segments.metric as m
    left join segments.run as r on r.run_id = m.run_id
)
select * exclude (suppressed) replace (case when not suppressed then value end as value), suppressed
from found
