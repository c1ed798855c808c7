-- The days of refused rows are found again with the next look at the whole source, which replaces them all.
alter table quality.rejected_events add column event_day DATE;
comment on column quality.rejected_events.event_day is 'The day of its event_time (UTC); NULL where that cannot be read.';
