-- What sets each segment of a segmentation apart in what its users buy. Every user weighs the same, however much they buy.
-- Left out are terms of fewer than five users of the segment, or of under 5% of its users who have any: chance, and traceable.
insert into segments.content_profile
with shares as (
    select
        user_id,
        term,
        weight / sum(weight) over (partition by user_id) as share
    from content_rows
),
members as (
    select user_id, segment_id
    from segments.membership
    where segmentation = $segmentation and user_id in (select user_id from content_rows)
),
sizes as (
    select segment_id, count(*) as users from members group by segment_id
),
overall as (
    select term, sum(share) / (select count(*) from members) as share
    from shares
    group by term
),
by_segment as (
    select
        members.segment_id,
        shares.term,
        count(*) as user_count,
        sum(shares.share) / any_value(sizes.users) as share
    from shares
    inner join members on members.user_id = shares.user_id
    inner join sizes on sizes.segment_id = members.segment_id
    group by members.segment_id, shares.term
    having count(*) >= greatest(5, 0.05 * any_value(sizes.users))
),
lifted as (
    select
        by_segment.*,
        round(overall.share, 9) as overall_share,
        round(by_segment.share / overall.share, 6) as lift
    from by_segment
    inner join overall on overall.term = by_segment.term
),
ranked as (
    select *, row_number() over (partition by segment_id order by lift desc, term) as rank
    from lifted
)
select
    $segmentation as segmentation,
    segment_id,
    $input as input,
    term,
    user_count,
    round(share, 9) as share,
    overall_share,
    lift,
    rank
from ranked
where rank <= $most and lift > 1
