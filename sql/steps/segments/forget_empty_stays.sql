-- A stay that would end the moment it began is replaced; what it replaces is remembered, so that a first stay stays a first one.
create or replace temp table replaced_stays as
select user_id, cause
from segments.membership_history
where segmentation = $segmentation and valid_to is null and valid_from >= $data_through
    and user_id in (select user_id from moves);

delete from segments.membership_history
where segmentation = $segmentation and valid_to is null and valid_from >= $data_through
    and user_id in (select user_id from moves);

update segments.membership_history
set valid_to = $data_through
where segmentation = $segmentation and valid_to is null and user_id in (select user_id from moves);

-- Back where the replaced stay had come from: the earlier stay goes on as if nothing had been.
create or replace temp table resumed_stays as
select h.user_id
from segments.membership_history as h
join moves as m on h.user_id = m.user_id and h.segment_id = m.to_segment_id
where h.segmentation = $segmentation and h.valid_to = $data_through
    and h.user_id in (select user_id from replaced_stays);

update segments.membership_history
set valid_to = null
where segmentation = $segmentation and valid_to = $data_through and user_id in (select user_id from resumed_stays)
