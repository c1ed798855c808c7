-- For each of several moments, so many days before the end of the newest day: the users there were, and how many of them
-- bought within the horizon after it.
with users as (
    select user_id, min(day) as first_day
    from days_of_users
    group by user_id
),
moments as (
    select (select max(day) + 1 from days_of_users) - unnest($days_back::integer[]) as moment
),
buyers as (
    select moments.moment, count(distinct days.user_id) as buyers
    from moments
    inner join days_of_users as days
        on days.bought and days.day >= moments.moment and days.day < moments.moment + $horizon::integer
    inner join users on users.user_id = days.user_id and users.first_day < moments.moment
    group by moments.moment
)
select
    (select count(*) from users where users.first_day < moments.moment) as users,
    coalesce(buyers.buyers, 0) as buyers
from moments
left join buyers on buyers.moment = moments.moment
order by moments.moment desc
