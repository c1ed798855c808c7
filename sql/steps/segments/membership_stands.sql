-- Whether what is said of all users of a segmentation is said as of this moment, by the names that segments have now.
-- Reads segment_names.
select
    exists (select 1 from segments.segmentation where segmentation = $segmentation and as_of = $as_of)
    and not exists (
        select 1
        from segment_names as n
        join segments.segment as s on s.segment_id = n.segment_id
        where s.segment_name is distinct from n.segment_name
    )
