-- Every user with an event before as_of has a segment in each segmentation that was refreshed with it.
select p.user_id, s.segmentation
from sqlseg.population as p
cross join segments.segmentation as s
left join segments.membership as m on m.user_id = p.user_id and m.segmentation = s.segmentation
where m.user_id is null and s.as_of = (select max(as_of) from segments.segmentation)
