-- Forgets the refused rows of the days that were read again whole; duplicates are looked after apart.
delete from quality.rejected_events
where reason <> 'duplicate'
    and (event_day in (select day from reread_days where day is not null) or (event_day is null and $unreadable))
