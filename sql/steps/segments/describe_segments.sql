-- What is said of every segment in use. Reads segment_descriptions (segment_id, description).
update segments.segment as s
set description = d.description
from segment_descriptions as d
where s.segment_id = d.segment_id
