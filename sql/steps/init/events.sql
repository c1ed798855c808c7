-- Canonical events, one row an event: put your own columns on the left of each `as`, and your source behind `from`.
-- Leave out the lines that your source knows nothing of; only the first three are required.
select
    customer_id::varchar as user_id,         -- who; rows without one go to quarantine
    ordered_at::timestamp as event_time,     -- when, in UTC; a local clock: ordered_at at time zone 'Europe/London' at time zone 'UTC'
    'purchase' as event_type,                -- view, search, cart, favorite, purchase, return, review, coupon; others are kept and counted
    line_id::varchar as event_id,            -- tells true duplicates from equal lines
    product_id::varchar as item_id,
    department as category,
    order_id::varchar as order_id,           -- lines with the same one are one order
    null::varchar as session_id,
    null::varchar as text,                   -- what was typed: a search, a review
    unit_price::double as price,             -- per unit, after discount; of a line total: amount / nullif(quantity, 0)
    0.0::double as discount,                 -- the amount taken off the line
    abs(quantity)::double as quantity,       -- never negative: a return is an event_type of its own
    null::double as duration                 -- seconds on a page
from read_parquet('data/*.parquet')          -- or read_csv('data/*.csv'), or a table of a [sources.*] in sqlseg.toml: crm.orders
