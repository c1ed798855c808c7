-- The embeddings of the slice's users whose tokens or encoder are not those of the embedding that is there.
create or replace temp table embed_output as
select
    embed_input.user_id,
    embed_tokens(embed_input.tokens) as embedding,
    embed_input.input_hash,
    $model_sha256::varchar as model_sha256,
    $provider::varchar as provider,
    $embedded_at::timestamp as embedded_at
from embed_input
left join embed_known
    on embed_known.user_id = embed_input.user_id
    and embed_known.input_hash = embed_input.input_hash
    and embed_known.model_sha256 = $model_sha256
where embed_known.user_id is null
