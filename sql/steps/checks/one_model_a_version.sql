-- A version of a segmentation's model is one model.
select segmentation, model_version
from segments.model
group by segmentation, model_version
having count(*) > 1
