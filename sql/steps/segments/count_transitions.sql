-- The moves of this run, counted.
insert into segments.transition (
    run_id, as_of, segmentation, from_segment_id, to_segment_id, cause, user_count, revenue
)
select
    $run_id, $as_of, $segmentation, from_segment_id, to_segment_id, cause, count(*),
    -- To the cent: the sum of doubles depends on the order of the users.
    round(sum(revenue), 2)
from moves
group by from_segment_id, to_segment_id, cause
