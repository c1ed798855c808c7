-- Buyers of one rule segmentation with what tiers of value are judged by.
select m.segment_name, r.recency_days::double as recency, r.orders::double as orders, r.spend::double as spend
from segments.membership as m
join sqlseg.feature_rfm_v1 as r on r.user_id = m.user_id
where m.segmentation = $segmentation and r.recency_days is not null and r.orders is not null and r.spend is not null
