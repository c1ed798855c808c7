-- Users whose kept parts are not what their events give any more. Reads touched_users.
insert into sqlseg.behind_part
select distinct user_id from touched_users where user_id not in (select user_id from sqlseg.behind_part)
