-- Name, rule, size and revenue of every segment in use. Reads segment_names.
update segments.segment as s
set segment_name = n.segment_name,
    rule_sql = n.rule_sql,
    user_count = n.user_count,
    share = n.user_count / (select sum(user_count) from segment_names)::double,
    revenue = n.revenue,
    revenue_share = n.revenue / nullif((select sum(revenue) from segment_names), 0),
    retired_at = null
from segment_names as n
where s.segment_id = n.segment_id
