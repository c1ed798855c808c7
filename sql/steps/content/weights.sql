-- Which user (by place in the population, ordered by user_id) has which term, and how much it weighs.
select
    users.place as user_place,
    content_terms.place as term_place,
    content_rows.weight::double as weight
from content_rows
inner join content_terms on content_terms.term = content_rows.term
inner join (
    select user_id, row_number() over (order by user_id) - 1 as place from sqlseg.population
) as users on users.user_id = content_rows.user_id
order by user_place, term_place
