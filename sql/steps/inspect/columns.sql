-- What the sampled values of each column look like, whatever their type: every value is looked at as text.
-- Reads inspected_cells (column_name, value).
with cells as (
    select
        column_name,
        value,
        -- 1.234,50 and 12,5 are numbers with a decimal comma; 1,234.50 and $9.99 are numbers in decoration.
        regexp_full_match(value, '-?\d{1,3}(\.\d{3})*,\d+|-?\d+,\d+') as is_comma_number,
        regexp_matches(value, ',(\d{1,2}|\d{4,})$') as has_comma_decimals,
        try_cast(value as double) as plain_number,
        regexp_full_match(value, '[$€£¥ ]?-?[$€£¥ ]?\d{1,3}(,\d{3})*(\.\d+)? ?[$€£¥]?|[$€£¥] ?-?\d+(\.\d+)?') as is_decorated_number
    from inspected_cells
),
numbers as (
    select
        *,
        case
            when plain_number is not null and isfinite(plain_number) then plain_number
            when is_comma_number then try_cast(replace(replace(value, '.', ''), ',', '.') as double)
            when is_decorated_number then try_cast(regexp_replace(value, '[^0-9.-]', '', 'g') as double)
        end as number
    from cells
)
select
    column_name,
    count(*) as row_count,
    count(value) as filled,
    approx_count_distinct(value) as distinct_values,
    count(number) as numbers,
    count(case when plain_number is null and is_comma_number then 1 end) as comma_numbers,
    count(case when plain_number is null and is_comma_number and has_comma_decimals then 1 end) as comma_decimals,
    count(case when plain_number is null and is_decorated_number then 1 end) as decorated_numbers,
    count(case when number = floor(number) then 1 end) as whole_numbers,
    count(case when number < 0 then 1 end) as negatives,
    count(case when regexp_full_match(value, '-?\d+\.0') then 1 end) as with_point_zero,
    min(number) as minimum,
    max(number) as maximum,
    count(case when try_cast(value as timestamp) is not null then 1 end) as times,
    count(case when regexp_matches(value, '\d{2}:\d{2}(:\d{2}(\.\d+)?)? ?(Z|UTC|[+-]\d{2}(:?\d{2})?)$') then 1 end) as times_with_zone,
    count(case when regexp_full_match(value, '\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]0{1,2}:00(:00(\.0+)?)?(Z|\+00(:00)?)?)?') then 1 end) as days_only,
    count(case when regexp_full_match(value, '\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?') then 1 end) as times_of_day,
    count(case when regexp_matches(value, '\d{1,4}[./-](\d{1,2}|[A-Za-z]{3})[./-]\d{2,4}') or regexp_matches(value, '[A-Za-z]{3,9}\.? \d{1,2},? \d{4}|\d{1,2} [A-Za-z]{3,9}\.? \d{4}') then 1 end) as dates_of_any_form,
    count(case when regexp_full_match(value, '[Cc]\d{3,}') then 1 end) as cancelled_numbers,
    count(case when regexp_matches(value, '\d') then 1 end) as with_digits,
    avg(length(value)) as average_length,
    list_distinct(arg_min(value, hash(value), 40))[:3] as examples
from numbers
group by column_name
