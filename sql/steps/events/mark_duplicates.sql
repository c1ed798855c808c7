-- The usable rows that repeat another one: of one event_id the newest ingested_at stays; without ids, one of all-equal rows.
-- Hashes narrow the search to candidates, equality decides. Reads keyed_rows, and in repeated_keys the keys of which there
-- are several.
create or replace temp table duplicate_events as
with candidates as (
    select row_number from keyed_rows where key in (select key from repeated_keys)
),
ranked as (
    select
        s.rowid as row_number,
        case
            when event_id is not null
                then row_number() over (
                    partition by event_id order by ingested_at desc nulls last, event_time desc, event_hash, s.rowid
                )
            else row_number() over (
                partition by
                    event_id, user_id, event_time, event_type, item_id, category, order_id, session_id, text,
                    price, discount, quantity, duration, ingested_at
                order by s.rowid
            )
        end as occurrence
    from staged_events as s
    where s.rowid in (select row_number from candidates)
)
select row_number from ranked where occurrence > 1
