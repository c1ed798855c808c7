-- What tells each segment of a segmentation apart, the most telling first.
select segment_id, feature, mean, overall_mean, lift
from segments.profile
where segmentation = $segmentation and rank <= $features and mean is not null
order by segment_id, rank
