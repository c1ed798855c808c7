-- Who of a slice is not embedded: strangers, who are not among the users, and those whose embedding was made from the same
-- tokens by the same model. Reads token_ids (place, user_id, input_hash).
select token_ids.place, embed_users.user_id is null as stranger
from token_ids
left join embed_users on embed_users.user_id = token_ids.user_id
left join embed_known
    on embed_known.user_id = token_ids.user_id
    and embed_known.input_hash = token_ids.input_hash
    and embed_known.model_sha256 = $model_sha256
where embed_users.user_id is null or embed_known.user_id is not null
