-- The users cut into slices of as many as are worked on at a time: the first and the last of each, and their places.
-- Slices are ranges, since DuckDB pushes a comparison down to the events, but no expression over an id.
select min(user_id) as first_user, max(user_id) as last_user, min(place) as first_place, max(place) as last_place
from embed_users
group by (place - 1) // $slice_users
order by first_place
