-- The embeddings of one slice, by the encoder as a function of the tokens. In front of it stands `with token_slice as (...)`.
select user_id, embed_tokens(tokens) as embedding, input_hash
from token_slice
