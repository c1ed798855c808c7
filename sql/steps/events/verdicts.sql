-- What becomes of the usable rows that came, went, or must be chosen among anew: accepted, refused as a duplicate
-- (false), or gone (NULL). Rows of the pool with which nothing changes are left out.
create or replace temp table verdicts as
with ranked as (
    select
        origin, row_number,
        case
            when event_id is not null
                then row_number() over (
                    partition by event_id
                    order by ingested_at desc nulls last, event_time desc, event_hash, origin = 'events' desc, row_number
                )
            else row_number() over (
                partition by
                    event_id, user_id, event_time, event_type, item_id, category, order_id, session_id, text,
                    price, discount, quantity, duration, ingested_at
                order by origin = 'events' desc, row_number
            )
        end = 1 as accepted
    from pool
)
select origin, row_number, accepted
from ranked
where origin = 'staged' or accepted <> (origin = 'events')
union all
select origin, row_number, null from removed_rows
