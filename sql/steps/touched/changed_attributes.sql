-- Users whose attributes are new, others or gone are touched as those are whose events changed.
insert into touched_users
select coalesce(a.user_id, b.user_id) as user_id
from users_before as b
full join (select user_id, hash("a whole row") as attributes from sqlseg.users as "a whole row") as a on a.user_id = b.user_id
where
    a.attributes is distinct from b.attributes
    and coalesce(a.user_id, b.user_id) not in (select user_id from touched_users)
