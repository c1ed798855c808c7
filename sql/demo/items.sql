-- The catalogue.
select
    product_id::varchar as item_id,
    department,
    brand,
    product_category,
    product_type,
    package_size,
    lower(coalesce(product_type, product_category, department)) as title
from read_parquet('data/products.parquet')
