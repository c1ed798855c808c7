-- Their earlier stay goes on as if nothing had been.
update segments.membership_history
set valid_to = null
where segmentation = $segmentation and valid_to = $data_through and user_id in (select user_id from resumed_stays)
