-- The events of the touched users, who are all behind. Reads events_of_behind.
create or replace temp table touched_events as
select * from events_of_behind where user_id in (select user_id from touched_users)
