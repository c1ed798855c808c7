-- The reviews that a user wrote, for a text encoder.
-- grain: user_id, text
select
    user_id,            -- #not_null the user
    text,               -- #not_null the review
    count(*) as weight  -- #range(1,) how often it was written
from events
where event_type = 'review' and trim(text) <> ''
group by user_id, text
