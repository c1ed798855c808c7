-- What the model in use leaves out of its inputs and why, and how all were ranked where they were.
select i.feature, i.status, i.reason, i.measure, i.score, i.rank
from segments.input as i
join segments.segmentation as s using (segmentation, model_version)
where segmentation = $segmentation and (i.status = 'dropped' or i.rank is not null)
order by i.rank nulls last, i.input, i.feature
