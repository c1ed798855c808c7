-- What 801 households told about themselves.
select
    household_id::varchar as user_id,
    age,
    income,
    home_ownership,
    marital_status,
    household_size,
    household_comp,
    kids_count
from read_parquet('data/demographics.parquet')
