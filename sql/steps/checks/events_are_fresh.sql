-- The newest event is not older than declared.
select max(event_time) as newest
from sqlseg.events
having max(event_time) < $oldest::timestamp
