-- Refused rows of the whole source, by reason.
select reason, count(*) as row_count
from quality.rejected_events
group by reason
order by row_count desc, reason
