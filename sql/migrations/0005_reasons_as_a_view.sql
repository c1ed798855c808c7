-- Reasons were a table with the means of segments in every row.
create table segments.user_reason (
    user_id      VARCHAR,
    segmentation VARCHAR,
    segment_id   VARCHAR,
    rank         INTEGER,
    feature      VARCHAR,
    value        DOUBLE,
    contribution DOUBLE
);

insert into segments.user_reason
select r.user_id, r.segmentation, m.segment_id, r.rank, r.feature, r.value, r.contribution
from segments.reason as r
join segments.membership as m on m.user_id = r.user_id and m.segmentation = r.segmentation;

drop table segments.reason
