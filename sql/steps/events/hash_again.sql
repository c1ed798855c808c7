-- Another release of DuckDB may hash otherwise: events are told apart by their hashes, so those kept are made again.
update sqlseg.events
set event_hash = hash(
    user_id, event_time, event_type, event_id, item_id, category, order_id, session_id, text,
    price + 0.0, discount + 0.0, quantity + 0.0, duration + 0.0, ingested_at
)
