-- When a user is active: time of day, days of the week, public holidays, in the project's time zone.
-- Counted in active hours, so that forty lines of one order weigh as much as one click. Times within the second
-- of midnight (a source that only knows days) say nothing about the time of day. A weekend is Saturday and Sunday.
-- grain: user_id
with active_hours as (
    select
        user_id,
        date_trunc('hour', local_time) as hour_start,
        max(
            case
                when date_trunc('second', local_time) <> date_trunc('day', local_time)
                    and date_trunc('second', event_time) <> date_trunc('day', event_time) then 1
                else 0
            end
        ) as clocked
    from events
    group by user_id, date_trunc('hour', local_time)
),
days_off as (
    select distinct date as day
    from holidays
),
placed as (
    select
        active_hours.user_id,
        -- 0 is Monday: 1900-01-01 was one.
        date_diff('day', date '1900-01-01', active_hours.hour_start::date) % 7 as weekday,
        case when active_hours.clocked = 1 then floor(extract('hour' from active_hours.hour_start) / 6) end as quarter,
        days_off.day as holiday
    from active_hours
    left join days_off on days_off.day = active_hours.hour_start::date
),
weekdays as (
    select
        user_id,
        weekday,
        count(*) as hours,
        count(quarter) as clocked,
        count(case when quarter = 0 then 1 end) as night,
        count(case when quarter = 1 then 1 end) as morning,
        count(case when quarter = 2 then 1 end) as afternoon,
        count(case when quarter = 3 then 1 end) as evening,
        count(holiday) as holiday
    from placed
    group by user_id, weekday
)
select
    user_id,                                                      -- #unique #not_null the user
    sum(morning) / nullif(sum(clocked), 0) as morning_share,      -- #range(0,1) #high(morning) activity in the morning: share of active hours
                                                                  -- from 6 to 12
    sum(afternoon) / nullif(sum(clocked), 0) as afternoon_share,  -- #range(0,1) #high(afternoon) activity in the afternoon: share of active
                                                                  -- hours from 12 to 18
    sum(evening) / nullif(sum(clocked), 0) as evening_share,      -- #range(0,1) #high(evening) activity in the evening: share of active hours
                                                                  -- from 18 to 24
    sum(night) / nullif(sum(clocked), 0) as night_share,          -- #range(0,1) #high(night) activity at night: share of active hours
                                                                  -- from 0 to 6
    sum(case when weekday >= 5 then hours else 0 end)
    / sum(hours) as weekend_share,                                -- #range(0,1) #high(weekend) #low(workday) activity at weekends: share of
                                                                  -- active hours on Saturdays and Sundays
    case
        when sum(hours) >= 2
            then least(
                greatest((ln(sum(hours)) - sum(hours * ln(hours)) / sum(hours)) / ln(least(sum(hours), 7)), 0), 1
            )
    end as weekday_entropy,                                       -- #range(0,1) #high(any-day) #low(fixed-day) evenness over weekdays: how
                                                                  -- evenly active hours fall on the days of the week:
                                                                  -- 0 all on one, 1 as even as their number allows;
                                                                  -- NULL under two
    case
        when (select count(*) from holidays) > 0 then sum(holiday) / sum(hours)
    end as holiday_share                                          -- #range(0,1) #high(holiday) activity on public holidays: share of active hours
                                                                  -- on public holidays; NULL where no country is set
from weekdays
group by user_id
