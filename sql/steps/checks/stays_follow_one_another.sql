-- Stays have a length, and none begins before the one before it has ended. Reads stays_looked_at.
select user_id, segmentation, valid_from
from (
    select
        user_id, segmentation, valid_from, valid_to,
        lag(coalesce(valid_to, timestamp '9999-01-01')) over (
            partition by user_id, segmentation order by valid_from, valid_to nulls last
        ) as end_before
    from stays_looked_at
)
where valid_to <= valid_from or end_before > valid_from
