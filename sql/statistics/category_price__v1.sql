-- Cut points of the prices paid in each category: a tenth of the lines cost at most p10, half at most p50.
-- Categories with fewer than 50 priced lines are left out; the row without a category is the whole shop and stands in
-- for them. Prices of 0 (gifts, samples) are no prices.
-- grain: category
with prices as (
    select category, price, count(*) as lines
    from events
    where event_type = 'purchase' and price > 0
    group by category, price
),
scopes as (
    select category, price, lines
    from prices
    where category is not null
    union all
    select null as category, price, sum(lines) as lines
    from prices
    group by price
),
ranked as (
    select
        category,
        price,
        sum(lines) over (partition by category order by price) as lines_up_to,
        sum(lines) over (partition by category) as lines
    from scopes
)
select
    category,                                                           -- #unique the category; NULL is the whole shop
    max(lines)::bigint as lines,                                        -- #not_null #range(1,) priced purchase lines
    min(case when lines_up_to * 10 >= lines then price end) as p10,     -- #not_null #range(0,) tops 10% of the lines
    min(case when lines_up_to * 10 >= lines * 2 then price end) as p20, -- #not_null #range(0,) tops 20% of the lines
    min(case when lines_up_to * 10 >= lines * 3 then price end) as p30, -- #not_null #range(0,) tops 30% of the lines
    min(case when lines_up_to * 10 >= lines * 4 then price end) as p40, -- #not_null #range(0,) tops 40% of the lines
    min(case when lines_up_to * 10 >= lines * 5 then price end) as p50, -- #not_null #range(0,) tops 50% of the lines
    min(case when lines_up_to * 10 >= lines * 6 then price end) as p60, -- #not_null #range(0,) tops 60% of the lines
    min(case when lines_up_to * 10 >= lines * 7 then price end) as p70, -- #not_null #range(0,) tops 70% of the lines
    min(case when lines_up_to * 10 >= lines * 8 then price end) as p80, -- #not_null #range(0,) tops 80% of the lines
    min(case when lines_up_to * 10 >= lines * 9 then price end) as p90  -- #not_null #range(0,) tops 90% of the lines
from ranked
group by category
having category is null or max(lines) >= 50
