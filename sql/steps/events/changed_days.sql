-- The days whose content is another than was remembered, or that there were not or no longer are; NULL is one of them.
select coalesce(n.day, p.day) as day
from source_days as n
full join sqlseg.source_partition as p on p.day is not distinct from n.day
where n.row_count is distinct from p.row_count
    or n.hash_sum is distinct from p.hash_sum
    or n.hash_xor is distinct from p.hash_xor
