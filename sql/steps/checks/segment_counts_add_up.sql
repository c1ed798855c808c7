-- The size of a segment is the number of its members. Reads members.
select s.segment_id
from segments.segment as s
left join (select segment_id, sum(users) as users from members group by segment_id) as m on m.segment_id = s.segment_id
where s.user_count is distinct from coalesce(m.users, 0)
