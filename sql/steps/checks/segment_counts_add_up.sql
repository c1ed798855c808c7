-- The size of a segment is the number of its members.
select s.segment_id
from segments.segment as s
left join (select segment_id, count(*) as members from segments.membership group by segment_id) as m
    on m.segment_id = s.segment_id
where s.user_count is distinct from coalesce(m.members, 0)
