-- What the users of a move had brought; unknown of runs before this column.
alter table segments.transition add column revenue double;
comment on column segments.transition.revenue is 'What these users had brought up to as_of: purchases minus returns. NULL where their events are gone, or the run is older than this column.'
