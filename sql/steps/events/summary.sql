-- What was staged: the counts, the newest usable time, and a fingerprint that does not depend on the order of rows.
select
    count(*) as rows_read,
    count(*) filter (where usable) as accepted,
    max(event_time) filter (where usable) as newest,
    coalesce(sum(case when usable then event_hash end), 0)::varchar || '/'
        || coalesce(bit_xor(case when usable then event_hash end), 0)::varchar || '/'
        || count(*) filter (where usable)::varchar || '/'
        || count(*)::varchar || '/'
        || coalesce(sum(raw_hash), 0)::varchar as fingerprint
from (
    select
        event_time, event_hash, raw_hash,
        reason is null and rowid not in (select row_number from duplicate_events) as usable
    from staged_events
)
