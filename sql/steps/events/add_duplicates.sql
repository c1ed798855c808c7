-- Keeps the usable rows that the verdicts do not accept: another event is better, or equal and there already.
insert into sqlseg.duplicate_event by name
select
    user_id, event_time, event_type, event_id, item_id, category, order_id, session_id, text,
    price, discount, quantity, duration, ingested_at,
    case when $timezone = 'UTC' then event_time
         else timezone($timezone, timezone('UTC', event_time)) end as local_time,
    event_hash
from staged_events
where rowid in (select row_number from verdicts where origin = 'staged' and not accepted)
union all by name
from sqlseg.events
where rowid in (select row_number from verdicts where origin = 'events' and not accepted)
