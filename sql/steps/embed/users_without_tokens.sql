-- The slice's users who have no tokens, or none any more.
select user_id
from embed_users
where user_id between $first and $last
except
select user_id
from embed_rows
