-- The new embeddings among those of a slice.
select
    user_id,
    embedding,
    input_hash,
    $model_sha256::varchar as model_sha256,
    $provider::varchar as provider,
    $embedded_at::timestamp as embedded_at
from embed_rows
where embedding is not null
