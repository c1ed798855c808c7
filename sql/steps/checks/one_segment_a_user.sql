-- A user has one segment in a segmentation.
select user_id, segmentation from segments.membership group by user_id, segmentation having count(*) > 1
