-- No two segments in use of a segmentation share a name.
select segmentation, lower(segment_name)
from segments.segment
where retired_at is null
group by segmentation, lower(segment_name)
having count(*) > 1
