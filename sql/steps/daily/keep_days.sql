-- Reads counted_days.
insert into sqlseg.segment_day (segmentation, segment_id, day, arrivals, user_days, buyers, orders, revenue, run_id)
select $segmentation, segment_id, day, arrivals, user_days, buyers, orders, revenue, $run_id
from counted_days
order by day, segment_id
