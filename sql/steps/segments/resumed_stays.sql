-- Users back where a stay of no length had come from.
create or replace temp table resumed_stays as
select h.user_id
from segments.membership_history as h
join moves as m on h.user_id = m.user_id and h.segment_id = m.to_segment_id
where h.segmentation = $segmentation and h.valid_to = $data_through
    and h.user_id in (select user_id from replaced_stays)
