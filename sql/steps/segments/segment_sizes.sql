-- Users and revenue of each segment. Reads user_revenue.
create or replace temp table segment_sizes as
select m.segment_id, count(*) as user_count, sum(r.revenue) as revenue
from segments.membership as m
join sqlseg.user_revenue as r on m.user_id = r.user_id
where m.segmentation = $segmentation
group by m.segment_id
