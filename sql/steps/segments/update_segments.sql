-- Name, description, size and revenue of every segment in use.
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
