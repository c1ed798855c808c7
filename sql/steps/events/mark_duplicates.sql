-- The usable rows that repeat another one: of one event_id the newest ingested_at stays; without ids, one of all-equal rows.
-- Hashes narrow the search to candidates, equality decides.
create or replace temp table duplicate_events as
with keyed as (
    select rowid as row_number, case when event_id is null then event_hash else hash(event_id) end as key
    from staged_events
    where reason is null
),
candidates as (
    select row_number
    from keyed
    where key in (select key from keyed group by key having count(*) > 1)
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
