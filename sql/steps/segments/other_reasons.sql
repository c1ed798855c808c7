-- Who stands where they stood, for other reasons. Reads reason_rows, which names everybody.
insert into restated
select distinct coalesce(n.user_id, o.user_id)
from reason_rows as n
full join (select * from segments.user_reason where segmentation = $segmentation) as o
    on o.user_id = n.user_id and o.rank = n.rank
where
    (
        n.segment_id is distinct from o.segment_id
        or n.feature is distinct from o.feature
        or n.value is distinct from o.value
        or n.contribution is distinct from o.contribution
    )
    and coalesce(n.user_id, o.user_id) not in (select user_id from restated)
