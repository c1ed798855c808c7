-- Reads reason_rows (user_id, segment_id, rank, feature, value, contribution).
insert into segments.user_reason (user_id, segmentation, segment_id, rank, feature, value, contribution)
select user_id, $segmentation, segment_id, rank, feature, value, contribution
from reason_rows
