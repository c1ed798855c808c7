-- Two proofs by sums over all rows, for which nobody's rows are laid side by side. Reads members.
-- Every user of the population is in one segment of each segmentation: as many members, with the same sum of hashes.
-- The open stays are the members: the same users in the same segments.
with everybody as (
    -- Hashes that differ are of users who differ; to count them takes half as long.
    select count(*) as users, count(distinct hashed) as different, sum(hashed) as hashes
    from (select hash(user_id) as hashed from sqlseg.population)
),
placed as (
    select segmentation, sum(users) as users, sum(hashes) as hashes
    from (
        select segmentation, users, hashes from members
        union all
        select segmentation, 0 as users, 0 as hashes from segments.segmentation
    )
    group by segmentation
),
staying as (
    select segmentation, segment_id, count(*) as users, sum(hash(user_id)) as hashes
    from segments.membership_history
    where valid_to is null
    group by segmentation, segment_id
)
select
    not exists (
        select 1
        from placed as p
        cross join everybody as e
        where p.users <> e.different or e.users <> e.different or p.hashes is distinct from e.hashes
    ) as one_segment_each,
    not exists (
        select 1
        from members as m
        full join staying as s on s.segmentation = m.segmentation and s.segment_id = m.segment_id
        where m.users is distinct from s.users or m.hashes is distinct from s.hashes
    ) as stays_are_members
