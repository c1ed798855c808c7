-- Users of each segment: how many, and a sum of hashes that tells these users from any others.
create or replace temp table members as
select segmentation, segment_id, count(*) as users, sum(hash(user_id)) as hashes
from segments.membership
group by segmentation, segment_id
