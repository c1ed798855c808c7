-- The different texts of a content view that the encoder has not embedded yet, in an order of their own.
select md5(text) as text_hash, any_value(text) as text
from content_rows
where md5(text) not in (select text_hash from known_texts where model_sha256 = $model_sha256)
group by md5(text)
order by text_hash
