-- The different image files that the encoder has not embedded yet, by their content, in an order of their own.
select image_hash, min(image) as image
from sqlseg.image_file
where
    image_hash is not null
    and image_hash not in (select image_hash from known_images where model_sha256 = $model_sha256)
group by image_hash
order by image_hash
