-- Segments seen for the first time. Reads segment_names (segment_id, segment_name, description, rule_sql).
insert into segments.segment (segment_id, segmentation, created_at)
select segment_id, $segmentation, $now
from segment_names
where segment_id not in (select segment_id from segments.segment)
