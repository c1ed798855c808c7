-- The ten shipped feature views as one script that a person would write for this shop: orders, items, hours and visits are
-- grouped once, and every view reads them. It leans on what this shop's events are like (all lines of an order at one
-- instant, an item has one category), and checks nothing.
-- $as_of is the moment of all ages; the shop's clock is UTC. Reads sqlseg.events, sqlseg.holidays and stats.category_price_v1.
create temp table orders as
select
    e.user_id,
    e.event_type,
    min(e.event_time) as ordered_at,
    max(e.event_time) as last_at,
    count(*) as lines,
    sum(coalesce(e.quantity, 1)) as quantity,
    sum(e.price * coalesce(e.quantity, 1)) as value,
    sum(greatest(e.discount, 0)) filter (where e.price is not null) as discount,
    sum(e.price * coalesce(e.quantity, 1)) filter (where e.discount is not null) as discounted,
    count(*) filter (where e.price > 0) as levelled,
    sum(case when e.price > 0 then (
        (e.price > p10)::int + (e.price >= p10)::int + (e.price > p20)::int + (e.price >= p20)::int
        + (e.price > p30)::int + (e.price >= p30)::int + (e.price > p40)::int + (e.price >= p40)::int
        + (e.price > p50)::int + (e.price >= p50)::int + (e.price > p60)::int + (e.price >= p60)::int
        + (e.price > p70)::int + (e.price >= p70)::int + (e.price > p80)::int + (e.price >= p80)::int
        + (e.price > p90)::int + (e.price >= p90)::int
    ) end) as level
from sqlseg.events as e
left join (
    select c.category, coalesce(own.p10, shop.p10) as p10, coalesce(own.p20, shop.p20) as p20,
        coalesce(own.p30, shop.p30) as p30, coalesce(own.p40, shop.p40) as p40, coalesce(own.p50, shop.p50) as p50,
        coalesce(own.p60, shop.p60) as p60, coalesce(own.p70, shop.p70) as p70, coalesce(own.p80, shop.p80) as p80,
        coalesce(own.p90, shop.p90) as p90
    from (select distinct category from sqlseg.events) as c
    left join stats.category_price_v1 as own on own.category = c.category
    left join stats.category_price_v1 as shop on shop.category is null
) as cuts on cuts.category is not distinct from e.category
where e.event_type in ('purchase', 'return', 'coupon')
group by e.user_id, e.event_type, e.order_id, case when e.order_id is null then e.event_time end;

create temp table items as
select
    user_id,
    item_id,
    any_value(category) as category,
    count(*) filter (where event_type = 'view') as views,
    count(*) filter (where event_type = 'search') as searches,
    count(*) filter (where event_type = 'cart') as carts,
    count(*) filter (where event_type = 'favorite') as favorites,
    count(*) filter (where event_type = 'purchase') as purchases,
    min(event_time) filter (where event_type = 'purchase') as first_bought,
    max(event_time) filter (where event_type = 'purchase') as last_bought,
    min(event_time) filter (where event_type in ('view', 'cart', 'favorite', 'purchase')) as first_at,
    max(event_time) filter (where event_type in ('view', 'cart', 'favorite', 'purchase')) as last_at
from sqlseg.events
where event_type in ('view', 'search', 'cart', 'favorite', 'purchase')
group by user_id, item_id;

create temp table hours as
select user_id, hour_start, day, (max(clocked) = 1) as clocked, date_diff('day', date '1900-01-01', day) % 7 as weekday,
    hour(hour_start) // 6 as quarter
from (
    select user_id, date_trunc('hour', event_time) as hour_start, event_time::date as day,
        (date_trunc('second', event_time) <> date_trunc('day', event_time))::int as clocked
    from sqlseg.events
)
group by user_id, hour_start, day;

create temp table visits as
select
    user_id,
    count(*) as events,
    count(*) filter (where event_type = 'view') as views,
    date_diff('second', min(event_time), max(event_time)) as seconds,
    sum(duration) filter (where duration >= 0) as page_seconds,
    count(*) filter (where duration >= 0) as timed_pages,
    max(event_time) as last_at
from sqlseg.events
where event_type <> 'return' and session_id is not null
group by user_id, session_id;

-- Events without a session: a visit ends where nothing follows within half an hour.
create temp table pauses as
select
    user_id,
    count(*) filter (where gap is null or gap > interval 30 minute) as sessions,
    count(*) as events,
    count(*) filter (where event_type = 'view') as views,
    sum(case when gap <= interval 30 minute then date_diff('second', event_time - gap, event_time) else 0 end) as seconds,
    sum(duration) filter (where duration >= 0) as page_seconds,
    count(*) filter (where duration >= 0) as timed_pages,
    max(event_time) as last_at
from (
    select *, event_time - lag(event_time) over (partition by user_id order by event_time) as gap
    from sqlseg.events
    where event_type <> 'return' and session_id is null
)
group by user_id;

create table by_hand.rfm as
select
    user_id,
    date_diff('day', (max(last_at) filter (where event_type = 'purchase'))::date, $as_of::date) as recency_days,
    count(*) filter (where event_type = 'purchase') as orders,
    round(sum(case when event_type = 'purchase' then value else -value end), 6) as spend,
    avg(value) filter (where event_type = 'purchase') as average_order_value,
    date_diff('day', (min(ordered_at) filter (where event_type = 'purchase'))::date, $as_of::date) as tenure_days
from orders
where event_type <> 'coupon'
group by user_id;

create table by_hand.cadence as
with days as (
    select user_id, ordered_at::date as day, date_diff('day', lag(ordered_at::date) over (partition by user_id order by ordered_at::date), ordered_at::date) as gap
    from (select distinct user_id, ordered_at::date as ordered_at from orders where event_type = 'purchase')
)
select
    user_id,
    median(gap) as gap_median_days,
    case when count(gap) >= 2 then stddev_samp(gap) / avg(gap) end as gap_variation,
    date_diff('day', max(day), $as_of::date) / median(gap) as overdue_ratio,
    median(gap) - date_diff('day', max(day), $as_of::date) as next_purchase_in_days
from days
group by user_id;

create table by_hand.basket as
select o.*, nullif(i.distinct_items, 0) as distinct_items
from (
    select
        user_id,
        avg(lines) as lines_per_order,
        avg(quantity) as quantity_per_order,
        case when count(value) >= 2 then stddev_samp(round(value, 6)) / nullif(avg(round(value, 6)), 0) end
            as order_value_variation
    from orders
    where event_type = 'purchase'
    group by user_id
) as o
join (select user_id, count(*) as distinct_items from items where purchases > 0 and item_id is not null group by user_id) as i
    using (user_id);

create table by_hand.funnel as
select
    user_id,
    sum(views)::bigint as views,
    sum(searches)::bigint as searches,
    sum(carts)::bigint as carts,
    sum(favorites)::bigint as favorites,
    sum(purchases)::bigint as purchases,
    count(*) filter (where item_id is not null and views > 0 and carts > 0)
    / nullif(count(*) filter (where item_id is not null and views > 0), 0) as view_to_cart_rate,
    count(*) filter (where item_id is not null and carts > 0 and purchases > 0)
    / nullif(count(*) filter (where item_id is not null and carts > 0), 0) as cart_to_purchase_rate,
    count(*) filter (where item_id is not null and views > 0 and purchases > 0)
    / nullif(count(*) filter (where item_id is not null and views > 0), 0) as view_to_purchase_rate
from items
group by user_id;

create table by_hand.affinity as
with categories as (
    select user_id, category, sum(views + carts + favorites + purchases) as events, min(first_at) as first_at, max(last_at) as last_at
    from items
    where category is not null and first_at is not null
    group by user_id, category
),
interests as (
    select
        user_id,
        count(*) as categories,
        sum(events) as events,
        ln(sum(events)) - sum(events * ln(events)) / sum(events) as entropy,
        max({'events': events, 'category': category}) as top,
        min(first_at) as first_at,
        count(*) filter (where last_at >= $as_of - interval 90 day) as recent,
        count(*) filter (where first_at >= $as_of - interval 90 day) as new
    from categories
    group by user_id
),
bought as (
    select
        user_id,
        avg((last_bought::date > first_bought::date)::int) as repeated,
        min(first_bought) as first_at,
        count(*) filter (where last_bought >= $as_of - interval 90 day) as recent,
        count(*) filter (where first_bought >= $as_of - interval 90 day) as new
    from items
    where purchases > 0 and item_id is not null
    group by user_id
)
select
    user_id,
    interests.categories as distinct_categories,
    case when interests.categories >= 2 then least(greatest(entropy / ln(interests.categories), 0), 1) end as category_evenness,
    top.events / interests.events as top_category_share,
    top.category as top_category,
    repeated as repeat_item_share,
    case when bought.first_at < $as_of - interval 90 day then bought.new / nullif(bought.recent, 0) end as new_item_share,
    case when interests.first_at < $as_of - interval 90 day then interests.new / nullif(interests.recent, 0) end
        as new_category_share
from interests
full join bought using (user_id);

create table by_hand.price as
select
    user_id,
    sum(level) filter (where event_type = 'purchase') / 18
    / nullif(sum(levelled) filter (where event_type = 'purchase'), 0) as price_level,
    sum(discount) filter (where event_type = 'purchase')
    / nullif(sum(discount + discounted) filter (where event_type = 'purchase'), 0) as discount_share,
    coalesce(sum(lines) filter (where event_type = 'coupon'), 0)
    / nullif(count(*) filter (where event_type = 'purchase'), 0) as coupons_per_order
from orders
where event_type <> 'return'
group by user_id;

create table by_hand.returns as
with totals as (
    select
        user_id,
        count(*) filter (where event_type = 'purchase') as orders,
        count(*) filter (where event_type = 'return') as returned_orders,
        coalesce(sum(lines) filter (where event_type = 'return'), 0) as returned_lines,
        coalesce(sum(quantity) filter (where event_type = 'purchase'), 0) as quantity,
        coalesce(sum(quantity) filter (where event_type = 'return'), 0) as returned_quantity,
        sum(value) filter (where event_type = 'purchase') as value,
        case when returned_orders > 0 then sum(value) filter (where event_type = 'return') else 0 end as returned_value
    from orders
    where event_type <> 'coupon'
    group by user_id
),
waits as (
    select r.user_id, date_diff('day', max(p.event_time)::date, r.event_time::date) as days
    from (
        select distinct user_id, item_id, event_time
        from sqlseg.events
        where event_type = 'return' and item_id is not null
    ) as r
    join sqlseg.events as p
        on p.event_type = 'purchase' and p.user_id = r.user_id and p.item_id = r.item_id and p.event_time <= r.event_time
    group by r.user_id, r.item_id, r.event_time
)
select
    user_id,
    returned_lines::bigint as returns,
    least(returned_orders, orders) / nullif(orders, 0) as return_rate_orders,
    least(returned_quantity, quantity) / nullif(quantity, 0) as return_rate_quantity,
    case when returned_value is not null then least(returned_value, value) / nullif(value, 0) end as return_rate_revenue,
    w.days as days_to_return
from totals
left join (select user_id, avg(days) as days from waits group by user_id) as w using (user_id);

create table by_hand.rhythm as
with weekdays as (
    select
        user_id,
        weekday,
        count(*) as hours,
        count(*) filter (where clocked) as clocked,
        count(*) filter (where clocked and quarter = 0) as night,
        count(*) filter (where clocked and quarter = 1) as morning,
        count(*) filter (where clocked and quarter = 2) as afternoon,
        count(*) filter (where clocked and quarter = 3) as evening,
        count(off.day) as holiday
    from hours
    left join (select distinct date as day from sqlseg.holidays) as off on off.day = hours.day
    group by user_id, weekday
)
select
    user_id,
    sum(morning) / nullif(sum(clocked), 0) as morning_share,
    sum(afternoon) / nullif(sum(clocked), 0) as afternoon_share,
    sum(evening) / nullif(sum(clocked), 0) as evening_share,
    sum(night) / nullif(sum(clocked), 0) as night_share,
    coalesce(sum(hours) filter (where weekday >= 5), 0) / sum(hours) as weekend_share,
    case when sum(hours) >= 2 then
        least(greatest((ln(sum(hours)) - sum(hours * ln(hours)) / sum(hours)) / ln(least(sum(hours), 7)), 0), 1)
    end as weekday_entropy,
    sum(holiday) / sum(hours) as holiday_share
from weekdays
group by user_id;

create table by_hand.sessions as
select
    user_id,
    sum(sessions)::bigint as sessions,
    sum(events) / sum(sessions) as events_per_session,
    sum(views) / sum(events) as view_share,
    case when sum(views) > 0 then sum(seconds) / sum(sessions) / 60 end as minutes_per_session,
    sum(page_seconds) / nullif(sum(timed_pages), 0) as seconds_per_page,
    date_diff('day', max(last_at)::date, $as_of::date) as idle_days
from (
    select user_id, 1 as sessions, events, views, seconds, page_seconds, timed_pages, last_at from visits
    union all
    select user_id, sessions, events, views, seconds, page_seconds, timed_pages, last_at from pauses
)
group by user_id;

create table by_hand.trend as
with seen as (
    select user_id, date_diff('day', min(day), $as_of::date) as age
    from hours
    group by user_id
),
activity as (
    select
        user_id,
        count(distinct day) filter (where day >= $as_of - interval 30 day) as days_now,
        count(distinct day) filter (where day < $as_of - interval 30 day) as days_before
    from hours
    where day >= $as_of - interval 120 day
    group by user_id
),
bought as (
    select
        user_id,
        count(*) filter (where ordered_at >= $as_of - interval 30 day) as orders_now,
        count(*) filter (where ordered_at < $as_of - interval 30 day) as orders_before,
        count(value) as valued,
        round(coalesce(sum(value) filter (where ordered_at >= $as_of - interval 30 day), 0), 6) as spend_now,
        round(coalesce(sum(value) filter (where ordered_at < $as_of - interval 30 day), 0), 6) as spend_before
    from orders
    where event_type = 'purchase' and ordered_at >= $as_of - interval 120 day
    group by user_id
),
windows as (
    select
        user_id,
        case when age >= 60 then least(age - 30, 90) end as length,
        coalesce(days_now, 0) as days_now,
        coalesce(days_before, 0) as days_before,
        coalesce(orders_now, 0) as orders_now,
        coalesce(orders_before, 0) as orders_before,
        coalesce(spend_now, 0) as spend_now,
        coalesce(spend_before, 0) as spend_before,
        case when bought.user_id is null then 1 else nullif(bought.spend_now + bought.spend_before, 0) / valued end as unit
    from seen
    left join activity using (user_id)
    left join bought using (user_id)
)
select
    user_id,
    ln((orders_now + 0.5::double) / 30 / ((orders_before + 0.5::double * length / 30) / length)) as orders_trend,
    ln((spend_now + 0.5::double * unit) / 30 / ((spend_before + 0.5::double * unit * length / 30) / length)) as spend_trend,
    ln((days_now + 0.5::double) / 30 / ((days_before + 0.5::double * length / 30) / length)) as activity_trend
from windows;
