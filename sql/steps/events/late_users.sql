-- Users whose past is another than the run before knew: an event of that time arrived late, or was taken back.
create or replace temp table late_users as
select distinct user_id from compared_events where event_time <= $data_through
