-- Refused rows are all kept, each under its reason.
select coalesce(r.reason, e.reason) as reason
from (
    select reason, row_count from quality.rejection where run_id = (select max(run_id) from quality.rejection)
) as r
full join (select reason, count(*) as kept from quality.rejected_events group by reason) as e on e.reason = r.reason
where r.row_count is distinct from e.kept and exists (select 1 from quality.rejected_events)
