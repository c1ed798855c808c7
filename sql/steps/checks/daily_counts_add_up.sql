-- The days of a segmentation hold every day on which a user bought something once, and comings less goings are its users.
-- Reads members.
select distinct k.segmentation
from (
    select segmentation, sum(user_days) as user_days, coalesce(sum(orders), 0) as orders
    from sqlseg.segment_day
    group by segmentation
) as k
join segments.segmentation as g on g.segmentation = k.segmentation
cross join (select count(*) as user_days, coalesce(sum(orders), 0) as orders from sqlseg.user_day) as u
where
    g.refreshed_at = (select max(refreshed_at) from segments.segmentation)
    and (k.user_days <> u.user_days or k.orders <> u.orders)
union
select coalesce(k.segmentation, m.segmentation)
from (
    select segmentation, segment_id, sum(arrivals) as users from sqlseg.segment_day group by segmentation, segment_id
) as k
full join members as m on m.segmentation = k.segmentation and m.segment_id = k.segment_id
where
    coalesce(k.users, 0) <> coalesce(m.users, 0)
    and coalesce(k.segmentation, m.segmentation) in (select segmentation from sqlseg.segment_day)
