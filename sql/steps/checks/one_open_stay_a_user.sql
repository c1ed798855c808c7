-- The open stay of a user is the current membership.
select coalesce(m.user_id, h.user_id) as user_id, coalesce(m.segmentation, h.segmentation) as segmentation
from segments.membership as m
full join (select * from segments.membership_history where valid_to is null) as h
    on h.user_id = m.user_id and h.segmentation = m.segmentation
where m.segment_id is distinct from h.segment_id
