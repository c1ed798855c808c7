-- The measures of the newest run that measured this segmentation.
select metric, value
from segments.metric
where segmentation = $segmentation
    and run_id = (select max(run_id) from segments.metric where segmentation = $segmentation)
order by metric
