-- Before the first refresh every user is touched.
create or replace temp table touched_users as
select distinct user_id
from staged_events
where reason is null and rowid not in (select row_number from duplicate_events)
