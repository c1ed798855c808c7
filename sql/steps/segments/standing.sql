-- Where the model of one version put users in the refresh before, and who must be placed anew.
select
    m.segment_id, m.runner_up_segment_id, m.distance, m.confidence, m.assignment_probability,
    m.user_id is null or t.user_id is not null as changed
from sqlseg.population as p
left join segments.membership as m
    on m.user_id = p.user_id and m.segmentation = $segmentation and m.model_version = $model_version
left join touched_users as t on t.user_id = p.user_id
order by p.user_id
