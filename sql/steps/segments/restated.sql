-- Of whom something else is said than the refresh before left: who stands otherwise, by another model, or is gone, and
-- the touched users. Reads assigned, which names everybody, and moves.
create or replace temp table restated as
select coalesce(a.user_id, m.user_id) as user_id
from assigned as a
full join (select * from segments.membership where segmentation = $segmentation) as m on m.user_id = a.user_id
where
    a.segment_id is distinct from m.segment_id
    or a.runner_up_segment_id is distinct from m.runner_up_segment_id
    or a.distance is distinct from m.distance
    or a.confidence is distinct from m.confidence
    or a.assignment_probability is distinct from m.assignment_probability
    or m.model_version is distinct from $model_version
union
select user_id from moves
union
select user_id from touched_users
