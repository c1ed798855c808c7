-- The users cut into slices of as many as are worked on at a time: the first and the last of each.
-- Slices are ranges of ids, since DuckDB pushes a comparison down to the events, but no expression over an id.
select min(user_id) as first_user, max(user_id) as last_user
from (select user_id, row_number() over (order by user_id) - 1 as place from embed_users)
group by place // $slice_users
order by first_user
