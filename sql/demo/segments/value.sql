-- Value tiers: a fifth of the households, the next three fifths, and the rest, by what they spent.
select
    user_id,
    case
        when percent_rank() over (order by spend) >= 0.8 then 'Top fifth by spend'
        when percent_rank() over (order by spend) >= 0.2 then 'Middle'
        else 'Bottom fifth by spend'
    end as segment_name
from features.rfm
