-- Each event that becomes one (surplus 1) or ceases to be one (-1). Reads verdicts.
create or replace temp table compared_events as
select user_id, event_time, event_hash, 1 as surplus
from staged_events
where rowid in (select row_number from verdicts where origin = 'staged' and accepted)
union all
select user_id, event_time, event_hash, 1
from sqlseg.duplicate_event
where rowid in (select row_number from verdicts where origin = 'duplicates' and accepted)
union all
select user_id, event_time, event_hash, -1
from sqlseg.events
where rowid in (select row_number from verdicts where origin = 'events')
