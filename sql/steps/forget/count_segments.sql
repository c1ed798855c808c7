-- Sizes of the segments in use, after users have gone.
update segments.segment as s
set
    user_count = coalesce(m.users, 0),
    share = coalesce(m.users, 0) / nullif(m.everybody, 0)
from (
    select
        u.segmentation, u.segment_id,
        (select count(*) from segments.membership as m where m.segment_id = u.segment_id) as users,
        (select count(*) from segments.membership as m where m.segmentation = u.segmentation) as everybody
    from segments.segment as u
    where u.retired_at is null
) as m
where m.segment_id = s.segment_id and s.retired_at is null
