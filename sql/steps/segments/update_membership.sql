-- What is said of users who stayed where they were: as of when, and the name of their segment. Reads segment_names.
update segments.membership as m
set as_of = $as_of, segment_name = n.segment_name
from segment_names as n
where
    m.segmentation = $segmentation
    and m.segment_id = n.segment_id
    and (m.as_of is distinct from $as_of or m.segment_name is distinct from n.segment_name)
