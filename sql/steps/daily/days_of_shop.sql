-- The days on which the first and the last event before as_of happened. Reads first_day.
create or replace temp table days_of_shop as
select
    (select min(day) from sqlseg.first_day) as first_day,
    (select local_time::date from sqlseg.events where event_time < $as_of order by local_time desc limit 1) as last_day
