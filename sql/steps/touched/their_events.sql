-- The events of the touched users, read once for all that is computed of them.
create or replace temp table touched_events as
select * from sqlseg.events where user_id in (select user_id from touched_users)
