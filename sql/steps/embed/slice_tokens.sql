-- One slice of the users: their tokens, position first and in any order, and a hash that changes with any of them.
-- The hash does not depend on the order of the rows, and says how many there are.
create or replace temp table embed_input as
select
    user_id,
    list(array_value(*columns(* exclude (user_id)))) as tokens,
    count(*)::varchar || '-' || bit_xor(hash(*columns(* exclude (user_id))))::varchar as input_hash
from embed_sequence
where user_id between $first_user and $last_user and user_id in (select user_id from embed_users)
group by user_id
