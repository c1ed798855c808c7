-- Users whose accepted events are others than in the run before: some are new, gone or corrected.
create or replace temp table touched_users as
select distinct user_id from compared_events
