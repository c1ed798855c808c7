-- What the last refreshes of a kind before this one took by step, the newest first. A new day has more to compute than
-- the same one again; where $as_of is null it is not known yet which of the two it will be, and either will do.
with runs as (
    select run_id, kind, as_of, seconds, events_total, as_of is distinct from lag(as_of) over (order by run_id) as new_day
    from segments.run
    where status = 'done' and kind <> 'noop' and run_id < $run_id
)
select seconds, events_total
from runs
where
    kind = $kind
    and seconds is not null
    and ($as_of::timestamp is null or new_day = ($as_of is distinct from (select max_by(as_of, run_id) from runs)))
order by run_id desc
limit $runs
