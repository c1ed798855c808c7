-- Types every source row and says why a row cannot be used; reason is NULL for usable rows.
-- Reads rows_to_stage: the canonical columns as the source gives them, NULL where it has none.
with given as (
    select
        user_id as given_user_id, time_given, event_type as given_event_type, event_id as given_event_id,
        item_id as given_item_id, category as given_category, order_id as given_order_id,
        session_id as given_session_id, text as given_text, price as given_price, discount as given_discount,
        quantity as given_quantity, duration as given_duration, ingested_given,
        event_time, ingested_at, event_day, raw_hash
    from rows_to_stage
),
typed as (
    select
        *,
        case when trim(given_user_id::varchar) = '' then null else given_user_id::varchar end as user_id,
        case when trim(given_event_type::varchar) = '' then null else given_event_type::varchar end as event_type,
        try_cast(given_price as double) as price,
        try_cast(given_discount as double) as discount,
        try_cast(given_quantity as double) as quantity,
        try_cast(given_duration as double) as duration
    from given
),
judged as (
    select
        *,
        case
            when user_id is null then 'no user'
            when time_given is null then 'no time'
            -- Calendars of programs that read this begin with the year 1.
            when event_time is null or not isfinite(event_time) or event_time < timestamp '0001-01-01'
                then 'unreadable time'
            when ingested_given is not null and (ingested_at is null or ingested_at < timestamp '0001-01-01')
                then 'unreadable ingested_at'
            when given_price is not null and price is null then 'unreadable price'
            when given_discount is not null and discount is null then 'unreadable discount'
            when given_quantity is not null and quantity is null then 'unreadable quantity'
            when given_duration is not null and duration is null then 'unreadable duration'
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
    user_id,
    event_time,
    event_type,
    given_event_id::varchar as event_id,
    given_item_id::varchar as item_id,
    given_category::varchar as category,
    given_order_id::varchar as order_id,
    given_session_id::varchar as session_id,
    given_text::varchar as text,
    price,
    discount,
    quantity,
    duration,
    ingested_at,
    reason,
    -- -0.0 equals 0.0 and must not look like another event.
    hash(
        user_id, event_time, event_type, given_event_id::varchar, given_item_id::varchar, given_category::varchar,
        given_order_id::varchar, given_session_id::varchar, given_text::varchar,
        price + 0.0, discount + 0.0, quantity + 0.0, duration + 0.0, ingested_at
    ) as event_hash,
    event_day,
    raw_hash,
    -- Written out for refused rows alone: as text, rows take longer than everything else here.
    case when reason is not null then to_json(struct_pack(
        user_id := given_user_id::varchar, event_time := time_given::varchar, event_type := given_event_type::varchar,
        event_id := given_event_id::varchar, item_id := given_item_id::varchar, category := given_category::varchar,
        order_id := given_order_id::varchar, session_id := given_session_id::varchar, text := given_text::varchar,
        price := given_price::varchar, discount := given_discount::varchar, quantity := given_quantity::varchar,
        duration := given_duration::varchar, ingested_at := ingested_given::varchar
    ))::varchar end as rejected_row
from judged
