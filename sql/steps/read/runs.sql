-- The completed runs, in order.
select run_id, kind, as_of, data_through
from segments.run
where status = 'done'
order by run_id
