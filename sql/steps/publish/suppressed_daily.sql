-- Activity by day and segment as it is published. A segment that is hidden is so on every day; on each day, so is what
-- tells of fewer users or buyers than $min_users, and as much besides that the day's total less the others tells nothing.
-- Reads hidden_segment.
create or replace temp table suppressed_daily as
with days as (
    select
        d.*,
        h.segment_id is not null or (d.user_count > 0 and d.user_count < $min_users) as few_users
    from segments.daily as d
    left join hidden_segment as h on h.segmentation = d.segmentation and h.segment_id = d.segment_id
),
sized as (
    select
        *,
        few_users or (
            user_count > 0
            and bool_or(few_users and user_count > 0) over (partition by date, segmentation)
            and (
                count(*) filter (where user_count > 0) over few_first <= 2
                or sum(user_count) over few_first - user_count < $min_users
            )
        ) as hidden_users
    from days
    window few_first as (partition by date, segmentation order by few_users desc, user_count, segment_id)
),
active as (
    -- Who only returns something is no buyer, and still somebody.
    select
        *,
        greatest(buyers, (orders <> 0 or revenue <> 0)::bigint) as active,
        hidden_users or (buyers < $min_users and (buyers > 0 or orders <> 0 or revenue <> 0)) as few_buyers
    from sized
),
found as (
    select
        *,
        few_buyers or (
            active > 0
            and bool_or(few_buyers and active > 0) over (partition by date, segmentation)
            and (
                count(*) filter (where active > 0) over few_first <= 2
                or sum(active) over few_first - active < $min_users
            )
        ) as hidden_activity
    from active
    window few_first as (partition by date, segmentation order by few_buyers desc, active, segment_id)
)
select
    date, segmentation, segment_id, segment_name,
    case when not hidden_users then user_count end as user_count,
    case when not hidden_activity then buyers end as buyers,
    case when not hidden_activity then orders end as orders,
    case when not hidden_activity then revenue end as revenue,
    hidden_activity as suppressed
from found
