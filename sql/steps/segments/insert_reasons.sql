-- Reads reason_rows (user_id, segment_id, rank, feature, value, contribution), of everyone or of the restated users.
insert into segments.user_reason (user_id, segmentation, segment_id, rank, feature, value, contribution)
select user_id, $segmentation, segment_id, rank, feature, value, contribution
from reason_rows
where $everyone or user_id in (select user_id from restated)
