-- The events of all users whose parts are behind, read once for all parts. Which rows these are is looked up first: a join
-- with the users would carry every column of all events to it. See their_events.sql for why the users are named twice.
create or replace temp table events_of_behind as
select *
from sqlseg.events
where
    user_id in (select user_id from sqlseg.behind_part)
    and rowid in (select rowid from sqlseg.events where user_id in (select user_id from sqlseg.behind_part))
