-- The slice's users who have no tokens, or none any more.
select user_id
from embed_users
where hash(user_id) % $slices = $slice
except
select user_id
from embed_input
