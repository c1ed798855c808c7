-- As many events are kept and refused as the run counted: rows in = rows kept + rows refused.
select r.run_id
from segments.run as r
where
    r.run_id = $run_id and r.status = 'done' and (
        r.events_total <> (select count(*) from sqlseg.events)
        or r.events_rejected <> (
            select coalesce(sum(row_count), 0) from quality.rejection where run_id = r.run_id
        )
    )
