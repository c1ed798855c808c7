-- No segment in use holds more users than declared; shares of few users say little.
select s.segment_id, s.share
from segments.segment as s
join segments.segmentation as g on g.segmentation = s.segmentation
where s.retired_at is null and g.user_count >= 100 and s.share > $max_share
order by s.segment_id
