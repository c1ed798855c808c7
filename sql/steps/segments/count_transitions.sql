-- The moves of this run, counted.
insert into segments.transition (run_id, as_of, segmentation, from_segment_id, to_segment_id, cause, user_count)
select $run_id, $as_of, $segmentation, from_segment_id, to_segment_id, cause, count(*)
from moves
group by from_segment_id, to_segment_id, cause
