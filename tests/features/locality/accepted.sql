---- group by
select user_id, count(*) as n from events group by user_id

---- group by all
select user_id, event_type, count(*) as n from events group by all

---- group by place
select user_id, count(*) as n from events group by 1

---- group by alias
select a.uid as user_id, count(*) as n from (select user_id as uid from events) a group by user_id

---- group by qualified
select events.user_id, count(*) as n from events group by events.user_id

---- group by cast
select user_id::varchar as user_id, count(*) as n from events group by 1

---- from first
from events select user_id, max(price) as p group by user_id order by p

---- grouping sets
select user_id, item_id, count(*) as n from events group by grouping sets ((user_id, item_id), (user_id))

---- user_id and rollup
select user_id, category, count(*) as n from events group by user_id, rollup (category, item_id)

---- chain of stars
with bought as (select * from events where event_type = 'purchase'),
priced as (select *, price * quantity as spend from bought),
orders as (select user_id, order_id, sum(spend) as spend from priced group by user_id, order_id)
select user_id, avg(spend) as spend from orders group by user_id

---- a CTE that shadows events
with events as (select * from events where price > 0)
select user_id, count(*) as n from events group by user_id

---- renamed user_id
with a as (select user_id as uid, price from events), b(person, top) as (select uid, max(price) from a group by uid)
select person as user_id, top from b

---- star exclude and rename
with a as (select * exclude (price) rename (user_id as uid) from events)
select uid as user_id, count(*) as n from a group by uid

---- star replace
with a as (select * replace (price + 1 as price) from events) select user_id, sum(price) as p from a group by 1

---- window
select user_id, row_number() over (partition by user_id order by event_time) as n from events

---- named window and qualify
select user_id, price, lag(price) over history as before from events
window history as (partition by user_id order by event_time)
qualify row_number() over history = 1

---- window over a group
select user_id, category, sum(count(*)) over (partition by user_id) as n from events group by user_id, category

---- window with more keys
select user_id, count(*) over (partition by item_id, user_id) as n from events

---- using
select user_id, a.n, b.m from (select user_id, count(*) as n from events group by user_id) a
join (select user_id, max(price) as m from events group by user_id) b using (user_id)

---- using and more
with a as (select user_id, item_id from events), b as (select user_id, item_id, price from events)
select distinct user_id, price from a join b using (user_id, item_id)

---- natural join
with a as (select user_id, 1 as x from events) select user_id, x from users natural join a

---- comma join
select a.user_id, b.price from events a, events b where a.user_id = b.user_id and a.price < b.price

---- join on, the other way round
select b.user_id from events a join events b on (b.item_id = a.item_id and b.user_id = a.user_id)

---- is not distinct from
select b.user_id from events a join events b on b.user_id is not distinct from a.user_id

---- three
select u.user_id, max(e.price) as p, max(f.spend) as spend
from users u left join events e on e.user_id = u.user_id left join features.rfm_v1 f on f.user_id = e.user_id
group by u.user_id

---- full joins
with a as (select user_id, count(*) as n from events group by user_id),
b as (select user_id, 1 as x from users), c as (select user_id, 2 as y from events)
select coalesce(a.user_id, b.user_id, c.user_id) as user_id, n, x, y
from a full join b on a.user_id = b.user_id full join c on c.user_id = coalesce(a.user_id, b.user_id)

---- full join using
with a as (select user_id from events) select user_id from a full outer join users using (user_id)

---- asof join
select e.user_id, max(p.price) as price from events e
asof join events p on e.user_id = p.user_id and e.event_time > p.event_time group by e.user_id

---- asof left join using
select user_id, p.price from events e asof left join events p using (user_id, event_time)

---- semi join
select user_id from events semi join users using (user_id)

---- anti join
select e.user_id from events e anti join events r on r.user_id = e.user_id and r.event_type = 'return'

---- joins in parentheses
select e.user_id from events e join (users u join features.rfm_v1 f using (user_id)) on u.user_id = e.user_id

---- small tables
select e.user_id, avg(e.price / s.p50) as level, count(h.date) as holidays, max(i.shelf) as shelf
from events e cross join stats.shop_scale_v1 g
left join stats.category_price_v1 s on s.category = e.category
left join items i using (item_id) left join holidays h on h.date = e.local_time::date
group by e.user_id

---- small tables among themselves
with bands as (select category, max(p50) as p50 from stats.category_price_v1 group by category),
top as (select category, rank() over (order by p50 desc, category) as place, (select count(*) from bands) as n from bands)
select user_id, min(place) as place from events join top using (category) group by user_id

---- parameters in a CTE
with p as (select 90 as days) select user_id, count(*) as n from events, p where price > days group by user_id

---- a spine of days
with people as (select distinct user_id from events)
select p.user_id, d.day, count(e.event_time) as n
from people p cross join range(7) as d(day) left join events e on e.user_id = p.user_id and isodow(e.local_time) = d.day
group by p.user_id, d.day

---- values
select user_id, w.weight from events join (values ('view', 1), ('cart', 2)) as w(event_type, weight) using
(event_type)

---- unnest
select user_id, unnest(['a', 'b']) as x from events

---- unnest in from
with l as (select user_id, list(item_id) as items from events group by 1) select user_id, i.item from l,
unnest(l.items) as i(item)

---- correlated scalar
select e.user_id, (select max(x.price) from events x where x.user_id = e.user_id and x.item_id = e.item_id) as top
from events e

---- correlated without an alias
select u.user_id, (select count(*) from events where user_id = u.user_id) as n from users u

---- correlated, grouped inside
select u.user_id, (select max(n) from (select item_id, count(*) as n from events e where e.user_id = u.user_id
group by item_id)) as most from users u

---- exists
select user_id from events e where not exists (select 1 from events r where r.user_id = e.user_id and
r.event_type = 'return')

---- in a list of users
select user_id from users where user_id in (select user_id from events where price > 3)

---- not in, grouped
select user_id from users where user_id not in (select user_id from events group by user_id having count(*) > 3)

---- tuple in
select user_id, price from events where (user_id, event_time) in (select user_id, max(event_time) from events
group by 1)

---- any
select user_id from users where user_id = any (select user_id from events)

---- in a small table
select user_id from events where item_id in (select item_id from items where shelf = 'a')

---- scalar of a small table
select user_id, price / (select max(p50) from stats.category_price_v1) as p from events

---- lateral
select e.user_id, l.m from events e, lateral (select max(price) as m from events p where p.user_id = e.user_id) l

---- union all
select user_id, max(x) as x from (
    select user_id, price as x from events where event_type = 'purchase'
    union all select user_id, -price from events where event_type = 'return'
) group by user_id

---- union of stars
with a as (select * from events where price > 1), b as (from events where price < 0), c as (from a union all
from b) select distinct user_id from c

---- union by name
select distinct user_id from (select price, user_id from events union all by name select user_id from users)

---- except
select user_id from users except select user_id from events where event_type = 'return'

---- recursive
with recursive chain as (
    select user_id, event_time, 1 as n from events
    union all
    select c.user_id, e.event_time, n + 1 from chain c join events e on e.user_id = c.user_id and e.event_time > c.event_time
) select user_id, max(n) as n from chain group by user_id

---- distinct
select distinct user_id, item_id from events

---- distinct on
select distinct on (user_id) user_id, price from events order by user_id, event_time desc, event_id

---- distinct inside an aggregate
select user_id, count(distinct item_id) as n from events group by user_id having count(*) > 1

---- lambdas, lists and structs
select user_id, list_transform(list(price order by event_time, event_id), lambda x: x * 2) as l,
max({'t': event_time, 'p': price}).p as last, quantile_cont(price, 0.9) as q, sum(price) filter (where price > 1) as s
from events group by user_id

---- as_of
select user_id, date_diff('day', max(local_time)::date, local_as_of()::date) as d from events where event_time
< as_of() group by 1

---- age of two
select user_id, age(max(event_time), min(event_time)) as a from events group by user_id

---- users alone
select user_id, country from users

---- unpivot
select user_id, count(*) as n from (from events unpivot (v for name in (price, quantity))) group by user_id

---- upper case
SELECT USER_ID, COUNT(*) AS N FROM EVENTS GROUP BY USER_ID

---- quoted
select "user_id", count(*) as n from "events" group by "user_id"

---- a feature view
select user_id, spend / nullif(orders, 0) as x from features.rfm_v1

---- limit is a word in a text
select user_id, 'limit now() random()' as t from users -- limit 3

---- user_id in a boolean
select user_id, count(*) as n from events where user_id is not null and user_id <> 'test' group by user_id

---- not any of them
select user_id from users where user_id <> all (select user_id from events where event_type = 'return')

---- case for coalesce
select case when a.user_id is null then b.user_id else a.user_id end as user_id
from events a full join users b on a.user_id = b.user_id

---- any value of one
select any_value(e.user_id) as user_id, count(*) as n from events e group by e.user_id

---- materialized
with a as materialized (select user_id from events) select user_id from a group by (user_id)

---- lateral join
select e.user_id, l.m
from users e left join lateral (select max(price) as m from events p where p.user_id = e.user_id) l on true

---- having against a statistic
select user_id, sum(price) as s from events group by user_id
having sum(price) > (select max(p50) from stats.category_price_v1)

---- a spine of dates
with recursive days as (
    select date '2024-01-01' as d union all select d + 1 from days where d < date '2024-02-01'
)
select e.user_id, count(*) as n from events e join days on days.d = e.local_time::date group by e.user_id
