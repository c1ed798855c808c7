-- The stays that end in this run.
update segments.membership_history
set valid_to = $data_through
where segmentation = $segmentation and valid_to is null and user_id in (select user_id from moves)
