-- The tokens of one slice of the users, a row each in any order, with a hash that changes with any figure.
-- Rows, since DuckDB takes a quarter of the time to collect them in lists of lists; and of all users who have tokens, since
-- a semi-join keeps every figure of theirs in a hash table.
select *, hash(*columns(* exclude (user_id))) as token_hash
from embed_sequence
where user_id between $first and $last
