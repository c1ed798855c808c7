-- Keeps every refused row with its reason; the last look at the sources replaces the one before.
insert into quality.rejected_events (run_id, reason, "row")
select $run_id, reason, rejected_row from staged_events where reason is not null
union all
select
    $run_id,
    'duplicate',
    to_json(struct_pack(
        user_id := user_id, event_time := event_time::varchar, event_type := event_type, event_id := event_id,
        item_id := item_id, category := category, order_id := order_id, session_id := session_id, text := text,
        price := price::varchar, discount := discount::varchar, quantity := quantity::varchar,
        duration := duration::varchar, ingested_at := ingested_at::varchar
    ))::varchar
from staged_events
where rowid in (select row_number from duplicate_events)
