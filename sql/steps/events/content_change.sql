-- What the hashes of the events that came, less those that went, come to: their sum and their exclusive or.
select
    coalesce(sum(surplus * event_hash::hugeint), 0)::hugeint as total,
    coalesce(bit_xor(event_hash), 0) as exclusive_or
from compared_events
