-- Models without their parameters, which hold the centres of segments, and of some kinds single users.
create or replace temp table suppressed_model as
select * replace (null::varchar as parameters)
from segments.model
