-- The touched users who have an event before as_of: those whose rows are computed anew. The others have none any more.
create or replace temp table recomputed_users as
select distinct user_id from touched_events where event_time < $as_of
