-- Refreshes as they are published: without how many users did something where that is fewer than $min_users.
create or replace temp table suppressed_run as
select
    * replace (
        case when not coalesce(users_touched between 1 and $min_users - 1, false) then users_touched end
            as users_touched,
        case when not coalesce(users_moved between 1 and $min_users - 1, false) then users_moved end as users_moved,
        case when not coalesce(users_embedded between 1 and $min_users - 1, false) then users_embedded end
            as users_embedded
    )
from segments.run
