-- Days from the last thing that one user did, of what encoders read, to the last refresh's as_of; NULL for none.
select date_diff('second', max(e.event_time), max(r.as_of)) / 86400.0
from sqlseg.events as e
cross join (select max(as_of) as as_of from segments.segmentation) as r
where e.user_id = $user_id
    and e.event_time < r.as_of
    and e.event_type in (select unnest($event_types::varchar[]))
