-- Rules as they are published: without those of segments that are hidden. Reads hidden_segment.
create or replace temp table suppressed_rule as
select
    r.* replace (
        case when h.segment_id is null then r.condition end as condition,
        case when h.segment_id is null then r.precision end as precision,
        case when h.segment_id is null then r.recall end as recall
    ),
    h.segment_id is not null as suppressed
from segments.rule as r
left join hidden_segment as h on h.segmentation = r.segmentation and h.segment_id = r.segment_id
