-- What a user cares for: how many categories, how concentrated on them, how much comes back and how much is new.
-- Categories are those viewed, carted, favored and bought, each event weighing the same; items are those bought. "New"
-- compares the last 90 days with all before, and is NULL for a user who has no before or no last 90 days.
-- grain: user_id
with categories as (
    select
        user_id,
        category,
        count(*) as events,
        min(local_time) as first_at,
        max(local_time) as last_at
    from events
    where category is not null and event_type in ('view', 'cart', 'favorite', 'purchase')
    group by user_id, category
),
interests as (
    select
        user_id,
        count(*) as categories,
        sum(events) as events,
        ln(sum(events)) - sum(events * ln(events)) / sum(events) as entropy,
        max({'events': events, 'category': category}) as first_choice,
        min(first_at) as first_at,
        count(case when last_at >= local_as_of() - interval 90 day then 1 end) as recent,
        count(case when first_at >= local_as_of() - interval 90 day then 1 end) as new
    from categories
    group by user_id
),
items as (
    select
        user_id,
        item_id,
        min(local_time) as first_at,
        max(local_time) as last_at
    from events
    where item_id is not null and event_type = 'purchase'
    group by user_id, item_id
),
purchases as (
    select
        user_id,
        count(*) as items,
        count(case when last_at::date > first_at::date then 1 end) as repeated,
        min(first_at) as first_at,
        count(case when last_at >= local_as_of() - interval 90 day then 1 end) as recent,
        count(case when first_at >= local_as_of() - interval 90 day then 1 end) as new
    from items
    group by user_id
)
select
    coalesce(interests.user_id, purchases.user_id) as user_id,  -- #unique #not_null the user
    interests.categories as distinct_categories,                -- #range(1,) #high(varied) #low(specialised)
                                                                -- different categories
    case
        when interests.categories >= 2
            then least(greatest(interests.entropy / ln(interests.categories), 0), 1)
    end as category_evenness,                                   -- #range(0,1) evenness over categories: entropy of the categories' shares over
                                                                -- the most it could be: 1 is all alike; NULL under
                                                                -- two categories
    interests.first_choice.events
    / interests.events as top_category_share,                   -- #range(0,1) #high(focused) share of the top category: of all that the user
                                                                -- did with a known category
    interests.first_choice.category as top_category,            -- the category that comes first; of several with the
                                                                -- same count, the last by name
    purchases.repeated / purchases.items as repeat_item_share,  -- #range(0,1) #high(replenishing) #low(one-off) share of items bought again: of
                                                                -- the items bought, those bought on more than one day
    case
        when purchases.first_at < local_as_of() - interval 90 day then purchases.new / nullif(purchases.recent, 0)
    end as new_item_share,                                      -- #range(0,1) #high(exploring) #low(habitual) share of new items: of
                                                                -- the items bought in the last 90 days, those the user had never bought before
    case
        when interests.first_at < local_as_of() - interval 90 day then interests.new / nullif(interests.recent, 0)
    end as new_category_share                                   -- #range(0,1) #high(newly curious) share of new categories: of the
                                                                -- categories touched in the last 90 days, those the user had never touched before
from interests
full join purchases on purchases.user_id = interests.user_id
