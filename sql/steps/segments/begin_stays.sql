-- The stays that begin in this run.
insert into segments.membership_history (user_id, segmentation, segment_id, valid_from, valid_to, cause, run_id)
select
    m.user_id, $segmentation, m.to_segment_id, $data_through, null,
    case when r.cause = 'first_seen' then 'first_seen' else m.cause end,
    $run_id
from moves as m
left join replaced_stays as r on m.user_id = r.user_id
where m.to_segment_id is not null and m.user_id not in (select user_id from resumed_stays)
