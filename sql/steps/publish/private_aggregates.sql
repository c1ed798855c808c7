-- Users and revenue in cents of every segment in use, the revenue of each user between two bounds. One user more or less
-- changes one row: the count by 1, the cents by the larger bound at most.
select
    s.segmentation, s.segment_id, s.segment_name,
    count(m.user_id) as user_count,
    coalesce(sum(case
        when m.user_id is null then 0
        else round(least(greatest(case when isfinite(r.revenue) then r.revenue else 0 end, $low), $high) * 100)::bigint
    end), 0)::bigint as cents
from segments.segment as s
left join segments.membership as m on m.segment_id = s.segment_id
left join sqlseg.user_revenue as r on r.user_id = m.user_id
where s.retired_at is null and list_contains($segmentations, s.segmentation)
group by s.segmentation, s.segment_id, s.segment_name
order by s.segmentation, s.segment_id
