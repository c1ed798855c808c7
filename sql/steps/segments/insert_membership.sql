-- The segment of every user now. Reads assigned and segment_names (segment_id, segment_name).
insert into segments.membership (
    user_id, segmentation, segment_id, segment_name, confidence, distance, runner_up_segment_id,
    member_since, as_of, model_version, assignment_probability
)
select
    a.user_id, $segmentation, a.segment_id, n.segment_name, a.confidence, a.distance, a.runner_up_segment_id,
    h.valid_from, $as_of, $model_version, a.assignment_probability
from assigned as a
join segment_names as n on a.segment_id = n.segment_id
join segments.membership_history as h
    on h.user_id = a.user_id and h.segmentation = $segmentation and h.valid_to is null
