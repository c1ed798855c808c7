-- What the users of a day did before it, and in the days after it: the only query that looks beyond as_of.
select
    p.user_id,
    min(date_diff('day', e.event_time, $as_of)) filter (
        where e.event_type = 'purchase' and e.event_time < $as_of
    ) as recency_days,
    count(distinct coalesce(e.order_id, e.event_time::varchar)) filter (
        where e.event_type = 'purchase' and e.event_time < $as_of
    ) as orders,
    -- To the cent: the sum of doubles depends on the order of the events.
    round(coalesce(sum(
        case e.event_type when 'purchase' then e.price when 'return' then -e.price end * coalesce(e.quantity, 1)
    ) filter (where e.event_time < $as_of), 0), 2) as revenue,
    count(*) filter (where e.event_time >= $since and e.event_time < $as_of) > 0 as seen_lately,
    round(coalesce(sum(
        case e.event_type when 'purchase' then e.price when 'return' then -e.price end * coalesce(e.quantity, 1)
    ) filter (where e.event_time >= $as_of), 0), 2) as future_revenue,
    count(*) filter (where e.event_type = 'purchase' and e.event_time >= $as_of) > 0 as buys,
    count(*) filter (where e.event_time >= $as_of) > 0 as is_seen
from sqlseg.population as p
join history.events as e on e.user_id = p.user_id
where e.event_time < $until
group by p.user_id
order by p.user_id
