-- All usable events, in a database of their own. Reads staged_events and duplicate_events.
create table _replayed.history.events as
select
    user_id, event_time, event_type, event_id, item_id, category, order_id, session_id, text,
    price, discount, quantity, duration, ingested_at
from staged_events
where reason is null and rowid not in (select row_number from duplicate_events)
