-- Ids that look like the one that was asked for.
select user_id
from (select distinct user_id from segments.membership)
order by jaro_winkler_similarity(left(user_id, 200), left($user_id, 200)) desc, user_id
limit 3
