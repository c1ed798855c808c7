-- No input of a model in use has shifted since the model was fitted; those of a model fitted in this run are left out.
select d.segmentation, d.feature
from segments.drift as d
join segments.segmentation as g on g.segmentation = d.segmentation
where d.run_id = $run_id and d.status = 'shift' and g.fitted_at < g.refreshed_at
order by d.segmentation, d.feature
