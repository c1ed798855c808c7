-- Keeps every refused row with its reason; the last look at the sources replaces the one before.
insert into quality.rejected_events (run_id, reason, "row", event_day)
select $run_id, reason, rejected_row, event_day from staged_events where reason is not null
