-- The ways of writing a time that read most values of a text column, the likeliest first: day before month where dots
-- or dashes part them, month before day with slashes. Reads inspected_column (value).
with tried as (
    select unnest([
        {format: '%d.%m.%Y %H:%M:%S', read: try_strptime(value, '%d.%m.%Y %H:%M:%S') is not null},
        {format: '%d.%m.%Y %H:%M', read: try_strptime(value, '%d.%m.%Y %H:%M') is not null},
        {format: '%d.%m.%Y', read: try_strptime(value, '%d.%m.%Y') is not null},
        {format: '%d-%m-%Y %H:%M:%S', read: try_strptime(value, '%d-%m-%Y %H:%M:%S') is not null},
        {format: '%d-%m-%Y %H:%M', read: try_strptime(value, '%d-%m-%Y %H:%M') is not null},
        {format: '%d-%m-%Y', read: try_strptime(value, '%d-%m-%Y') is not null},
        {format: '%m/%d/%Y %H:%M:%S', read: try_strptime(value, '%m/%d/%Y %H:%M:%S') is not null},
        {format: '%m/%d/%Y %H:%M', read: try_strptime(value, '%m/%d/%Y %H:%M') is not null},
        {format: '%m/%d/%Y %I:%M:%S %p', read: try_strptime(value, '%m/%d/%Y %I:%M:%S %p') is not null},
        {format: '%m/%d/%Y %I:%M %p', read: try_strptime(value, '%m/%d/%Y %I:%M %p') is not null},
        {format: '%m/%d/%Y', read: try_strptime(value, '%m/%d/%Y') is not null},
        {format: '%m/%d/%y %H:%M', read: try_strptime(value, '%m/%d/%y %H:%M') is not null},
        {format: '%d/%m/%Y %H:%M:%S', read: try_strptime(value, '%d/%m/%Y %H:%M:%S') is not null},
        {format: '%d/%m/%Y %H:%M', read: try_strptime(value, '%d/%m/%Y %H:%M') is not null},
        {format: '%d/%m/%Y', read: try_strptime(value, '%d/%m/%Y') is not null},
        {format: '%d/%m/%y %H:%M', read: try_strptime(value, '%d/%m/%y %H:%M') is not null},
        {format: '%m-%d-%Y %H:%M:%S', read: try_strptime(value, '%m-%d-%Y %H:%M:%S') is not null},
        {format: '%m-%d-%Y %H:%M', read: try_strptime(value, '%m-%d-%Y %H:%M') is not null},
        {format: '%m-%d-%Y', read: try_strptime(value, '%m-%d-%Y') is not null},
        {format: '%d %b %Y', read: try_strptime(value, '%d %b %Y') is not null},
        {format: '%d-%b-%Y', read: try_strptime(value, '%d-%b-%Y') is not null},
        {format: '%d-%b-%y', read: try_strptime(value, '%d-%b-%y') is not null},
        {format: '%b %d, %Y', read: try_strptime(value, '%b %d, %Y') is not null},
        {format: '%B %d, %Y', read: try_strptime(value, '%B %d, %Y') is not null},
        {format: '%d %b %Y %H:%M:%S', read: try_strptime(value, '%d %b %Y %H:%M:%S') is not null}
    ], recursive := true)
    from inspected_column
    where value is not null
),
shares as (
    select
        format,
        avg(case when read then 1.0 else 0.0 end) as share
    from tried
    group by format
)
select
    format,
    share
from shares
where share > 0.95 and share = (select max(share) from shares)
order by starts_with(format, '%d/'), format
