-- Days since each of the aging_users last did something that encoders read; NULL for who never did.
select date_diff('second', max(e.event_time), $as_of::timestamp) / 86400.0 as age
from aging_users as p
left join sqlseg.events as e
    on e.user_id = p.user_id
    and e.event_time < $as_of
    and e.event_type in (select unnest($event_types::varchar[]))
group by p.user_id
order by p.user_id
