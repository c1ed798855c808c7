-- What became of segments in the runs after one and up to another: those of rules have no lineage, only a birth and an end.
with runs as (
    select run_id, started_at from segments.run where status = 'done' and run_id > $after and run_id <= $through
),
descents as (
    select r.run_id, l.segmentation, l.relation, l.from_segment_id, l.to_segment_id, l.overlap
    from segments.lineage as l
    join segments.model as m on m.segmentation = l.segmentation and m.model_version = l.model_version
    join runs as r on r.started_at = m.fitted_at
    where l.relation <> 'kept'
),
events as (
    select * from descents
    union all
    select r.run_id, g.segmentation, 'born' as relation, null, g.segment_id, null
    from segments.segment as g
    join runs as r on r.started_at = g.created_at
    where g.segment_id not in (select to_segment_id from descents where to_segment_id is not null)
    union all
    select r.run_id, g.segmentation, 'retired' as relation, g.segment_id, null, null
    from segments.segment as g
    join runs as r on r.started_at = g.retired_at
    where g.segment_id not in (
        select from_segment_id from descents where from_segment_id is not null and relation in ('merged', 'retired')
    )
)
select e.segmentation, e.run_id, e.relation, e.from_segment_id, f.segment_name, e.to_segment_id, s.segment_name, e.overlap
from events as e
left join segments.segment as f on f.segment_id = e.from_segment_id
left join segments.segment as s on s.segment_id = e.to_segment_id
where $segmentation is null or e.segmentation = $segmentation
order by e.segmentation, e.run_id, e.relation, e.from_segment_id, e.to_segment_id
