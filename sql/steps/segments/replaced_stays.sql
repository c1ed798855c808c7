-- Open stays that would end the moment they began; remembered, so that a first stay stays a first one.
create or replace temp table replaced_stays as
select user_id, cause
from segments.membership_history
where segmentation = $segmentation and valid_to is null and valid_from >= $data_through
    and user_id in (select user_id from moves)
