-- The terms of a content view that most users have, and those that a model knows already; in an order of their own.
select row_number() over (order by term) - 1 as place, term
from (
    select term
    from (
        select term, row_number() over (order by count(*) desc, term) as rank
        from content_rows
        group by term
    )
    where rank <= $vocabulary
    union
    select term from known_terms
)
order by place
