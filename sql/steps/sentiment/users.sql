-- What the moods of their reviews say of each of the reviewers; scored_texts holds the mood of every text.
with reviews as (
    select e.user_id, e.event_time, e.text, s.sentiment
    from review_events as e
    join scored_texts as s on s.text = e.text
)
select
    p.user_id,
    round(avg(r.sentiment), 6) as mean_sentiment,
    max_by(r.sentiment, struct_pack(at := r.event_time, written := r.text)) as last_sentiment,
    round(avg((r.sentiment < $displeased_below)::double), 6) as negative_share,
    count(r.sentiment) as review_count
from reviewers as p
left join reviews as r on r.user_id = p.user_id
group by p.user_id
order by p.user_id
