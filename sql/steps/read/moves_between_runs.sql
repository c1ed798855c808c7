-- The moves of the runs after one and up to another, summed; who moves twice counts twice.
-- A published file of an earlier release has no revenue of moves; privacy settings may withhold the users of some.
select
    t.segmentation, t.from_segment_id, f.segment_name, t.to_segment_id, s.segment_name, t.cause,
    case when count(*) = count(t.user_count) then sum(t.user_count)::bigint end as users,
    case when count(*) = count(t.revenue) then sum(t.revenue) end as revenue
from (
    select null::double as revenue where false
    union all by name
    select * from segments.transition
) as t
left join segments.segment as f on f.segment_id = t.from_segment_id
left join segments.segment as s on s.segment_id = t.to_segment_id
where t.run_id > $after and t.run_id <= $through and ($segmentation is null or t.segmentation = $segmentation)
group by all
order by t.segmentation, users desc nulls last, t.from_segment_id, t.to_segment_id, t.cause
