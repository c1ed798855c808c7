-- What became of segments, without the shares of users, which can be those of a few.
create or replace temp table suppressed_lineage as
select * replace (null::double as overlap), overlap is not null as suppressed
from segments.lineage
