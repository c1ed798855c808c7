-- The staged rows as a table that can become that of the events: their columns first, then what is needed to judge rows.
-- Reads judged_rows, which is stage.sql.
select
    user_id, event_time, event_type, event_id, item_id, category, order_id, session_id, text,
    price, discount, quantity, duration, ingested_at,
    -- Times of refused rows may lie where no clock of a shop goes.
    case when reason is not null then null
         when $timezone = 'UTC' then event_time
         else timezone($timezone, timezone('UTC', event_time)) end as local_time,
    event_hash, reason, event_day, raw_hash, rejected_row
from judged_rows
