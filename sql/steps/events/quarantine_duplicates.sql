-- Shows the duplicates of some days among the refused rows.
insert into quality.rejected_events (run_id, reason, "row", event_day)
select
    $run_id,
    'duplicate',
    to_json(struct_pack(
        user_id := user_id, event_time := event_time::varchar, event_type := event_type, event_id := event_id,
        item_id := item_id, category := category, order_id := order_id, session_id := session_id, text := text,
        price := price::varchar, discount := discount::varchar, quantity := quantity::varchar,
        duration := duration::varchar, ingested_at := ingested_at::varchar
    ))::varchar,
    event_time::date
from sqlseg.duplicate_event
where event_time::date in (select day from days_of_duplicates)
