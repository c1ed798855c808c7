-- Refused rows of the forgotten, by reason. Reads forgotten.
select reason, count(*) as row_count
from quality.rejected_events
where json_extract_string("row", '$.user_id') in (select user_id from forgotten)
group by reason
order by reason
