-- What segments buy more of, without the terms of segments that are hidden and those of fewer than $min_users users: a term
-- of theirs tells in itself. Reads hidden_segment.
create or replace temp table suppressed_content_profile as
select c.*
from segments.content_profile as c
where c.user_count >= $min_users
    and not exists (
        select 1 from hidden_segment as h where h.segmentation = c.segmentation and h.segment_id = c.segment_id
    )
