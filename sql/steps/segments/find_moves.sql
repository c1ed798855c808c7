-- Who is in another segment than before, seen for the first time, or gone. Reads assigned: user_id, segment_id,
-- cause, revenue; where it does not hold everyone, all others stay but the touched users it does not name.
create or replace temp table moves as
select
    coalesce(a.user_id, h.user_id) as user_id,
    h.segment_id as from_segment_id,
    a.segment_id as to_segment_id,
    case when h.user_id is null then 'first_seen' when a.user_id is null then 'erased' else a.cause end as cause,
    a.revenue
from assigned as a
full join (
    select user_id, segment_id
    from segments.membership_history
    where
        segmentation = $segmentation
        and valid_to is null
        and ($everyone or user_id in (select user_id from touched_users))
) as h on a.user_id = h.user_id
where a.segment_id is distinct from h.segment_id
