-- What each segment of a segmentation buys more of than others, the highest lift first.
select segment_id, input, term, lift
from segments.content_profile
where segmentation = $segmentation and rank <= $terms
order by segment_id, input, rank
