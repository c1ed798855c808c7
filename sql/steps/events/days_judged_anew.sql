-- The days with rows between two bounds for the newest time that counts: another one is judged by the second.
select day
from sqlseg.source_partition
where newest > least($before::timestamp, $now::timestamp) and day <= greatest($before::timestamp, $now::timestamp)::date
