-- Users by what they have spent, returns taken off: five tiers of equally many buyers, and those who never bought.
-- The name of a segment is any text; change the tiers as you like.
with buyers as (
    select
        user_id,
        -- Rounded, so that two runs rank equal amounts alike; the share of buyers who spent no more than this one.
        cume_dist() over (order by round(coalesce(spend, 0), 2)) as share_at_or_below
    from features.rfm_v1
    where orders > 0
)
select
    users.user_id,
    case
        when buyers.user_id is null then 'No purchase yet'
        when buyers.share_at_or_below > 0.8 then 'Top fifth by spend'
        when buyers.share_at_or_below > 0.6 then 'Second fifth by spend'
        when buyers.share_at_or_below > 0.4 then 'Middle fifth by spend'
        when buyers.share_at_or_below > 0.2 then 'Fourth fifth by spend'
        else 'Lowest fifth by spend'
    end as segment_name
from features.rfm_v1 as users
left join buyers on buyers.user_id = users.user_id
