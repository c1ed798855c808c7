-- The segments in use, the largest first.
select segmentation, segment_id, segment_name, user_count, share, revenue, revenue_share, description
from segments.segment
where retired_at is null
order by segmentation, user_count desc, segment_id
