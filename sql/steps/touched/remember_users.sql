-- What the run before knew of each user besides events: a hash that changes with any attribute.
create or replace temp table users_before as
select user_id, hash("a whole row") as attributes from sqlseg.users as "a whole row"
