-- Every usable row of the whole source that repeats another one.
insert into sqlseg.duplicate_event by name
select
    user_id, event_time, event_type, event_id, item_id, category, order_id, session_id, text,
    price, discount, quantity, duration, ingested_at,
    case when $timezone = 'UTC' then event_time
         else timezone($timezone, timezone('UTC', event_time)) end as local_time,
    event_hash
from staged_events
where rowid in (select row_number from duplicate_events)
