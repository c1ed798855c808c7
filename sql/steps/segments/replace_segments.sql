-- Segments in use with their size and revenue; what is no longer in use is retired, never removed.
-- Reads segment_names (segment_id, segment_name, description, rule_sql) and user_revenue.
create or replace temp table segment_sizes as
select m.segment_id, count(*) as user_count, sum(r.revenue) as revenue
from segments.membership as m
join user_revenue as r on m.user_id = r.user_id
where m.segmentation = $segmentation
group by m.segment_id;

update segments.segment
set retired_at = $refreshed_at, user_count = 0, share = 0, revenue = 0, revenue_share = 0
where segmentation = $segmentation and retired_at is null
    and segment_id not in (select segment_id from segment_names);

insert into segments.segment
select n.segment_id, $segmentation, n.segment_name, n.description, n.rule_sql, 0, 0, 0, null, $refreshed_at, null
from segment_names as n
where n.segment_id not in (select segment_id from segments.segment);

update segments.segment as s
set segment_name = n.segment_name,
    description = n.description,
    rule_sql = n.rule_sql,
    user_count = coalesce(z.user_count, 0),
    share = coalesce(z.user_count, 0) / (select sum(user_count) from segment_sizes)::double,
    revenue = coalesce(z.revenue, 0),
    revenue_share = coalesce(z.revenue, 0) / nullif((select sum(revenue) from segment_sizes), 0),
    retired_at = null
from segment_names as n
left join segment_sizes as z on n.segment_id = z.segment_id
where s.segment_id = n.segment_id
