-- The catalogue.
select
    product_id::varchar as item_id,
    department,
    brand,
    product_category,
    product_type,
    package_size
from read_parquet('data/products.parquet')
