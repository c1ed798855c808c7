-- The embeddings of one slice, by the encoder as a function of the tokens.
select user_id, embed_tokens(tokens) as embedding, input_hash
from token_slice
