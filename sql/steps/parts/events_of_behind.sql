-- The events of all users whose parts are behind, read once for all parts.
create or replace temp table events_of_behind as
select * from sqlseg.events where user_id in (select user_id from sqlseg.behind_part)
