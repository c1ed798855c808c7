-- Every value of the columns that have few, with how many rows have it; the commonest first.
-- Reads inspected_choices: the columns in question, as text, over all rows.
select
    column_name,
    value,
    count(*) as row_count
from (from inspected_choices unpivot (value for column_name in (columns(*))))
group by column_name, value
order by column_name, row_count desc, value
