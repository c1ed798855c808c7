-- The days of a segmentation hold all the revenue of its segments, to a cent in a million.
select s.segmentation
from (select segmentation, sum(revenue) as revenue from segments.segment group by segmentation) as s
join segments.segmentation as g on g.segmentation = s.segmentation
left join (select segmentation, sum(revenue) as revenue from segments.daily group by segmentation) as d
    on d.segmentation = s.segmentation
where abs(s.revenue - coalesce(d.revenue, 0)) > 0.01 + 1e-8 * abs(s.revenue)
    and g.as_of = (select max(as_of) from segments.segmentation)
