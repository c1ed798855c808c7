---- no key in group by => GROUP BY
select any_value(user_id) as user_id, order_id from events group by order_id

---- changed key => GROUP BY
select lower(user_id) as user_id, count(*) as n from events group by 1

---- part of the groups => GROUP BY
select user_id, item_id, count(*) as n from events group by rollup (user_id, item_id)

---- a grouping set without => GROUP BY
select user_id, item_id from events group by grouping sets ((user_id), (item_id))

---- group by all without => GROUP BY
with a as (select item_id, count(*) as n from events group by all) select user_id from events

---- aggregate of all => over all users
with m as (select max(event_time) as t from events) select user_id from events, m

---- aggregate of all, named user_id => over all users
select max(user_id) as user_id from events

---- lost in a CTE => lost
with i as (select item_id from events) select user_id from events semi join i using (item_id)

---- scalar subquery => subquery
select user_id, price / (select max(price) from events) as p from events

---- subquery in where => subquery
select user_id from events where price > (select avg(price) from events)

---- correlated on an item => subquery
select user_id, (select max(price) from events x where x.item_id = e.item_id) as p from events e

---- correlated with itself => subquery
select user_id, (select max(price) from events x where x.user_id = user_id) as p from events e

---- correlated by or => subquery
select user_id from events e where exists (select 1 from events x where x.user_id = e.user_id or x.price > 3)

---- exists over items => subquery
select user_id from users where exists (select 1 from events)

---- in of items => subquery
select user_id from events where item_id in (select item_id from events where price > 3)

---- in the wrong place => subquery
select user_id from events where (item_id, user_id) in (select user_id, item_id from events)

---- subquery in a join => subquery
select e.user_id from events e join items i on i.price > (select avg(price) from events)

---- join without => without equating
select a.user_id from events a join events b on a.item_id = b.item_id

---- cross join => without equating
select a.user_id from events a cross join users b

---- comma => without equating
select a.user_id from events a, users b where a.user_id <> b.user_id

---- or in the join => without equating
select a.user_id from events a join events b on a.user_id = b.user_id or a.price = b.price

---- a third left out => without equating
select a.user_id from events a join events b using (user_id) join events c on c.item_id = a.item_id

---- equated too late => without equating
select a.user_id from events a cross join users b left join users c on a.user_id = b.user_id and c.user_id = a.user_id

---- asof on user_id => without equating
select a.user_id from events a asof join events b using (item_id, user_id)

---- asof inequality => without equating
select a.user_id from events a asof join events b on a.item_id = b.item_id and a.user_id >= b.user_id

---- lateral of all => over all users
select e.user_id from users e, lateral (select max(price) as m from events p) l

---- semi join on items => without equating
select e.user_id from events e semi join events f on f.item_id = e.item_id

---- positional join => positional
select a.user_id from events a positional join items b

---- window over all => window
select user_id, ntile(5) over (order by price) as n from events

---- window by item => window
select user_id, rank() over (partition by item_id order by event_time) as n from events

---- empty window => window
select user_id, count(*) over () as n from events

---- named window => window
select user_id, rank() over w as n from events window w as (order by price)

---- window in qualify => window
select user_id from events qualify row_number() over (order by price) = 1

---- window after group => window
select user_id, sum(count(*)) over () as n from events group by user_id

---- distinct without => DISTINCT
with t as (select distinct event_type from events) select user_id from events, t

---- distinct on without => DISTINCT
select distinct on (item_id) user_id, item_id from events

---- union with constants => UNION
select user_id from events union all select 'nobody'

---- union that crosses columns => UNION
select user_id, item_id from events union all select item_id, user_id from events

---- items kept by an outer join => LEFT JOIN
select e.user_id, i.item_id from items i left join events e on e.item_id = i.item_id

---- items kept by a right join => RIGHT JOIN
select e.user_id from events e right join items i using (item_id)

---- items kept by a full join => FULL JOIN
select e.user_id from events e full join items i using (item_id)

---- items with events => lost
select item_id as user_id from items semi join events using (item_id)

---- another column => the column user_id
select item_id as user_id, user_id as item_id from events

---- nothing of users => the column user_id
select item_id as user_id from items

---- pivot => PIVOT
select * from events pivot (sum(price) for event_type in ('view', 'cart'))

---- limit => LIMIT
select user_id from events order by price limit 3

---- limit in a subquery => LIMIT
select user_id, (select item_id from events x where x.user_id = e.user_id limit 1) as i from events e

---- offset => OFFSET
select user_id from events offset 3

---- fetch => LIMIT
select user_id from events fetch first 3 rows only

---- sample => sample
select user_id from events using sample 10

---- tablesample => sample
select user_id from events tablesample 10%

---- parameter => parameters
select user_id from events where price > $1

---- question mark => parameters
select user_id from events where price > ?

---- csv => read_csv() is read as a table
select user_id from users join read_csv('a.csv') using (user_id)

---- parquet => is read as a table
select user_id from users join read_parquet('a.parquet') using (user_id)

---- glob => glob() is read as a table
select user_id from users, glob('*')

---- query => query() is read as a table
select user_id from users, query('select 1 as x')

---- age of one => clock
select user_id, age(max(event_time)) as a from events group by user_id

---- as_of with an argument => no arguments
select user_id, as_of(1) as a from events

---- any value of several => GROUP BY
select any_value(user_id) as user_id, count(*) as n from events group by item_id

---- exists about itself => subquery
select user_id from events e where exists (select 1 from events r where r.user_id = r.user_id)

---- window before the correlation => window
select u.user_id, (
    select max(n) from (select user_id, count(*) over () as n from events) x where x.user_id = u.user_id
) as m from users u

---- lateral about something else => over all users
select e.user_id, l.m
from users e left join lateral (select max(price) as m from events p where p.item_id = e.country) l on true

---- having against all users => subquery
select user_id, sum(price) as s from events group by user_id having sum(price) > (select avg(price) from events)

---- order by a subquery => subquery
select user_id from events order by (select max(price) from events)

---- excluded => lost
with a as (select * exclude (user_id) from events) select user_id from users

---- items times events => lost
select i.item_id as user_id from items i cross join events
