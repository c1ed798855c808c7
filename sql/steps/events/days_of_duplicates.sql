-- The days among whose duplicates something changes.
create or replace temp table days_of_duplicates as
select event_time::date as day
from sqlseg.duplicate_event
where rowid in (select row_number from verdicts where origin = 'duplicates')
union
select event_time::date
from staged_events
where rowid in (select row_number from verdicts where origin = 'staged' and not accepted)
union
select event_time::date
from sqlseg.events
where rowid in (select row_number from verdicts where origin = 'events' and not accepted)
