-- One slice of the users who have tokens: a hash that changes with any token, and the tokens, NULL where the embedding that
-- is there was made from the same ones by the same model.
-- Tokens are lists of their position and figures, in any order. The hash does not depend on the order of the rows, and says
-- how many there are. Lists of lists, since DuckDB takes twice as long to collect arrays.
select
    sliced.user_id,
    case when embed_known.user_id is null then sliced.tokens end as tokens,
    sliced.input_hash
from (
    select
        user_id,
        list(list_value(*columns(* exclude (user_id)))) as tokens,
        count(*)::varchar || '-' || bit_xor(hash(*columns(* exclude (user_id))))::varchar as input_hash
    from embed_sequence
    where user_id between $first_user and $last_user and user_id in (select user_id from embed_users)
    group by user_id
) as sliced
left join embed_known
    on embed_known.user_id = sliced.user_id
    and embed_known.input_hash = sliced.input_hash
    and embed_known.model_sha256 = $model_sha256
