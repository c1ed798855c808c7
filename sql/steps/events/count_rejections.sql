-- Refused rows by reason.
select reason, count(*) as row_count
from (
    select reason from staged_events where reason is not null
    union all
    select 'duplicate' as reason from duplicate_events
)
group by reason
order by row_count desc, reason
