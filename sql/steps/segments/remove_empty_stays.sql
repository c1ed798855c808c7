-- A stay of no length is replaced, not ended.
delete from segments.membership_history
where segmentation = $segmentation and valid_to is null and valid_from >= $data_through
    and user_id in (select user_id from moves)
