-- Codes of letters alone in columns whose codes nearly all hold digits: among item codes, often postage and fees.
-- Reads inspected_cells (column_name, value).
with codes as (
    select
        column_name,
        value,
        count(*) as row_count,
        regexp_matches(value, '\d') as has_digits
    from inspected_cells
    where value is not null
    group by column_name, value
),
shares as (
    select column_name
    from codes
    group by column_name
    having sum(case when has_digits then row_count end) between 0.95 * sum(row_count) and sum(row_count) - 1
)
select
    column_name,
    list(value order by row_count desc, value)[:12] as codes
from codes
where not has_digits and column_name in (select column_name from shares)
group by column_name
