-- The days on which each user of a proposed mapping did something, and whether that was a purchase.
create or replace temp table days_of_users as
select user_id, event_time::date as day, bool_or(event_type = 'purchase') as bought
from mapped_events
where user_id is not null and event_time is not null
group by user_id, event_time::date
