-- Every stay of a user in a segmentation, in order.
select s.segment_name, h.segment_id, h.valid_from, h.valid_to, h.cause
from segments.membership_history as h
left join segments.segment as s on s.segment_id = h.segment_id
where h.user_id = $user_id and h.segmentation = $segmentation
order by h.valid_from
