-- Who is learned from: everybody, or as many as asked for, by a hash that draws the same users again.
create or replace temp table forecast_users as
select user_id
from (select distinct user_id from sqlseg.events where event_time < $as_of)
order by md5(user_id || $seed::varchar), user_id
limit $users
