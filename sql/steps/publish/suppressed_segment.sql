-- Segments as they are published: without the figures of those that are hidden. Reads hidden_segment.
create or replace temp table suppressed_segment as
select
    s.* replace (
        case when h.segment_id is null then s.description end as description,
        case when h.segment_id is null then s.user_count end as user_count,
        case when h.segment_id is null then s.share end as share,
        case when h.segment_id is null then s.revenue end as revenue,
        case when h.segment_id is null then s.revenue_share end as revenue_share
    ),
    h.segment_id is not null as suppressed
from segments.segment as s
left join hidden_segment as h on h.segmentation = s.segmentation and h.segment_id = s.segment_id
