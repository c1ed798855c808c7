-- The moves of this run, counted. Reads user_revenue.
insert into segments.transition (
    run_id, as_of, segmentation, from_segment_id, to_segment_id, cause, user_count, revenue
)
select
    $run_id, $as_of, $segmentation, m.from_segment_id, m.to_segment_id, m.cause, count(*),
    -- To the cent: the sum of doubles depends on the order of the users.
    round(sum(r.revenue), 2)
from moves as m
left join sqlseg.user_revenue as r on m.user_id = r.user_id
group by m.from_segment_id, m.to_segment_id, m.cause
