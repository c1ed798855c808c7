-- Where a user stands in every segmentation.
select m.*, g.kind, r.segment_name as runner_up_name, s.rule_sql
from segments.membership as m
join segments.segmentation as g on g.segmentation = m.segmentation
join segments.segment as s on s.segment_id = m.segment_id
left join segments.segment as r on r.segment_id = m.runner_up_segment_id
where m.user_id = $user_id
order by m.segmentation
