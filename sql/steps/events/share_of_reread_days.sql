-- The share of the source that lies in the days to read again; all of it where the source has become empty.
select coalesce(coalesce(sum(s.row_count) filter (where r.reread), 0) / nullif(sum(s.row_count), 0), 1)::double as share
from source_days as s
left join (select distinct day, true as reread from reread_days) as r on r.day is not distinct from s.day
