-- Types every source row and says why a row cannot be used; reason is NULL for usable rows.
-- Reads raw_events: the canonical columns as the source gives them, NULL where it has none.
create or replace temp table staged_events as
with typed as (
    select
        case when trim(user_id::varchar) = '' then null else user_id::varchar end as user_id,
        event_time,
        case when trim(event_type::varchar) = '' then null else event_type::varchar end as event_type,
        event_id::varchar as event_id,
        item_id::varchar as item_id,
        category::varchar as category,
        order_id::varchar as order_id,
        session_id::varchar as session_id,
        text::varchar as text,
        try_cast(price as double) as price,
        try_cast(discount as double) as discount,
        try_cast(quantity as double) as quantity,
        try_cast(duration as double) as duration,
        ingested_at,
        case
            when time_given is null then 'no time'
            when event_time is null or not isfinite(event_time) then 'unreadable time'
            when ingested_given is not null and ingested_at is null then 'unreadable ingested_at'
            when price is not null and try_cast(price as double) is null then 'unreadable price'
            when discount is not null and try_cast(discount as double) is null then 'unreadable discount'
            when quantity is not null and try_cast(quantity as double) is null then 'unreadable quantity'
            when duration is not null and try_cast(duration as double) is null then 'unreadable duration'
        end as unreadable,
        struct_pack(
            user_id := user_id::varchar, event_time := time_given::varchar, event_type := event_type::varchar,
            event_id := event_id::varchar, item_id := item_id::varchar, category := category::varchar,
            order_id := order_id::varchar, session_id := session_id::varchar, text := text::varchar,
            price := price::varchar, discount := discount::varchar, quantity := quantity::varchar,
            duration := duration::varchar, ingested_at := ingested_given::varchar
        ) as source_row
    from raw_events
),
judged as (
    select
        * exclude (unreadable),
        case
            when user_id is null then 'no user'
            when unreadable is not null then unreadable
            when event_type is null then 'no event type'
            when event_time > $exported_at then 'time after exported_at'
            when price is not null and not isfinite(price) then 'price is not finite'
            -- A stand-in for "unknown", such as the largest number there is: no sum would survive it.
            when price > 1e12 then 'amount over 1e12'
            when price < 0 then 'negative price'
            when quantity is not null and not isfinite(quantity) then 'quantity is not finite'
            when quantity < 0 then 'negative quantity'
            when quantity > $max_quantity then 'quantity over max_quantity'
            when quantity > 1e12 then 'amount over 1e12'
            when price * coalesce(quantity, 1) > 1e12 then 'amount over 1e12'
            when discount is not null and not isfinite(discount) then 'discount is not finite'
            when abs(discount) > 1e12 then 'amount over 1e12'
            when duration is not null and not isfinite(duration) then 'duration is not finite'
            when duration < 0 then 'negative duration'
        end as reason
    from typed
)
select
    * exclude (source_row),
    -- -0.0 equals 0.0 and must not look like another event.
    hash(
        user_id, event_time, event_type, event_id, item_id, category, order_id, session_id, text,
        price + 0.0, discount + 0.0, quantity + 0.0, duration + 0.0, ingested_at
    ) as event_hash,
    case when reason is not null then to_json(source_row)::varchar end as rejected_row
from judged
