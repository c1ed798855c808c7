-- How a user visits: how many sessions, how long and how busy, how long ago the last.
-- A session is a session_id; events without one belong together until a pause of more than 30 minutes. Returns are no
-- visits.
-- grain: user_id
with identified as (
    select
        user_id,
        session_id,
        count(*) as events,
        count(case when event_type = 'view' then 1 end) as views,
        date_diff('second', min(event_time), max(event_time)) as seconds,
        sum(case when duration >= 0 then duration end) as page_seconds,
        count(case when duration >= 0 then 1 end) as timed_pages,
        max(local_time) as last_at
    from events
    where session_id is not null and event_type <> 'return'
    group by user_id, session_id
),
unidentified as (
    select
        user_id,
        event_type,
        event_time,
        local_time,
        duration,
        lag(event_time) over (partition by user_id order by event_time) as previous_time
    from events
    where session_id is null and event_type <> 'return'
),
visits as (
    select
        user_id,
        count(*) as sessions,
        sum(events) as events,
        sum(views) as views,
        sum(seconds) as seconds,
        sum(page_seconds) as page_seconds,
        sum(timed_pages) as timed_pages,
        max(last_at) as last_at
    from identified
    group by user_id
    union all
    select
        user_id,
        count(
            case when previous_time is null or event_time > previous_time + interval 30 minute then 1 end
        ) as sessions,
        count(*) as events,
        count(case when event_type = 'view' then 1 end) as views,
        sum(
            case
                when event_time <= previous_time + interval 30 minute
                    then date_diff('second', previous_time, event_time)
                else 0
            end
        ) as seconds,
        sum(case when duration >= 0 then duration end) as page_seconds,
        count(case when duration >= 0 then 1 end) as timed_pages,
        max(local_time) as last_at
    from unidentified
    group by user_id
)
select
    user_id,                                                   -- #unique #not_null the user
    sum(sessions)::bigint as sessions,                         -- #not_null #range(0,) #default(0)
                                                               -- #high(often-visiting) #low(rarely visiting) visits
    sum(events) / sum(sessions) as events_per_session,         -- #range(1,) #high(busy) events in a visit
    sum(views) / sum(events) as view_share,                    -- #range(0,1) share of page views: among all events
    case
        when sum(views) > 0 then sum(seconds) / sum(sessions) / 60
    end as minutes_per_session,                                -- #range(0,) #high(lingering) #low(quick) minutes in a visit: from the
                                                               -- first to the last event; NULL without page views
    sum(page_seconds)
    / nullif(sum(timed_pages), 0) as seconds_per_page,         -- #range(0,) #high(attentive) #low(skimming) seconds on a page: where
                                                               -- the source knows; NULL where it does not
    date_diff(
        'day', max(last_at)::date, local_as_of()::date
    ) as idle_days                                             -- #range(0,) #high(dormant) #low(recently seen) days
                                                               -- since the last visit
from visits
group by user_id
