-- What is no longer in use is retired, never removed.
update segments.segment
set retired_at = $now, user_count = 0, share = 0, revenue = 0, revenue_share = 0
where segmentation = $segmentation and retired_at is null
    and segment_id not in (select segment_id from segment_names)
