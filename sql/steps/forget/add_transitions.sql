-- Who leaves a segment by being forgotten, counted with the last refresh. Reads forgotten.
insert into segments.transition (
    run_id, as_of, segmentation, from_segment_id, to_segment_id, cause, user_count, revenue
)
select s.run_id, s.as_of, h.segmentation, h.segment_id, null, 'erased', count(*), null
from segments.membership_history as h
cross join sqlseg.refresh_state as s
where h.valid_to is null and h.user_id in (select user_id from forgotten)
group by s.run_id, s.as_of, h.segmentation, h.segment_id
