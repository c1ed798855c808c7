-- The events of the touched users, read once for all that is computed of them. Which rows these are is looked up first: a
-- join with the users would carry every column of all events to it. The users are named twice, since their first and last
-- id let DuckDB pass over events that the rows, among which are some of this transaction, do not.
create or replace temp table touched_events as
select *
from sqlseg.events
where
    user_id in (select user_id from touched_users)
    and rowid in (select rowid from sqlseg.events where user_id in (select user_id from touched_users))
