-- The users whose events, attributes or segment changed. Reads touched_users and moves.
create or replace temp table changed_users as
select user_id from touched_users union select user_id from moves
