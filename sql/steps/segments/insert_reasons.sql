-- Reads reason_rows (user_id, segment_id, rank, feature, value, contribution) beside what the segment and everybody has.
insert into segments.reason (user_id, segmentation, rank, feature, value, segment_mean, overall_mean, contribution)
select r.user_id, $segmentation, r.rank, r.feature, r.value, p.mean, p.overall_mean, r.contribution
from reason_rows as r
left join segments.profile as p
    on p.segmentation = $segmentation
    and p.segment_id = r.segment_id
    and p.feature = r.feature
