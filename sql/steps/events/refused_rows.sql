-- The staged rows to add to the refused ones: those of days that were read again whole, and of the others those that
-- were not refused before.
create or replace temp table refused_rows as
with staged as (
    select
        rowid as row_number, reason, rejected_row,
        event_day in (select day from reread_days where day is not null) or (event_day is null and $unreadable) as replaced,
        row_number() over (partition by reason, rejected_row order by rowid) as copy
    from staged_events
    where reason is not null
),
known as (
    select reason, "row" as rejected_row, row_number() over (partition by reason, "row") as copy
    from quality.rejected_events
    where $arrivals and reason <> 'duplicate'
)
select row_number from staged where replaced
union all
select s.row_number
from staged as s
anti join known as k on k.reason = s.reason and k.rejected_row = s.rejected_row and k.copy = s.copy
where s.replaced is distinct from true
