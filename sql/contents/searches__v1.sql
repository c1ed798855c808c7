-- What a user searched for, for a text encoder.
-- grain: user_id, text
select
    user_id,                   -- #not_null the user
    lower(trim(text)) as text, -- #not_null the phrase
    count(*) as weight         -- #range(1,) how often it was searched for
from events
where event_type = 'search' and trim(text) <> ''
group by user_id, lower(trim(text))
