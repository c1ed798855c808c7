-- The years of the first and of the last event, on the clock of the shop. See standing.sql for why they are looked for so.
select
    (select year(local_time) from sqlseg.events order by local_time limit 1) as first_year,
    (select year(local_time) from sqlseg.events order by local_time desc limit 1) as last_year
