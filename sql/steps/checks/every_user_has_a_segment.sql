-- Every user with an event before as_of has a segment in each segmentation that was just refreshed.
select p.user_id, s.segmentation
from sqlseg.population as p
cross join segments.segmentation as s
left join segments.membership as m on m.user_id = p.user_id and m.segmentation = s.segmentation
where m.user_id is null and s.refreshed_at = (select max(refreshed_at) from segments.segmentation)
