-- How sure the mean of a segment is, and how far it lies from everybody else; known from the next refresh on.
alter table segments.profile add column mean_low double;
alter table segments.profile add column mean_high double;
alter table segments.profile add column effect_size double;
alter table segments.profile add column effect_low double;
alter table segments.profile add column effect_high double;
comment on column segments.profile.mean_low is 'Lower end of the 95% interval of the mean (Student''s t); NULL where fewer than 2 users have a value or all have the same.';
comment on column segments.profile.mean_high is 'Upper end of that interval.';
comment on column segments.profile.effect_size is 'Hedges'' g: the mean in the segment minus that of everybody else, in pooled standard deviations; NULL where either side has fewer than 2 users, or nothing varies.';
comment on column segments.profile.effect_low is 'Lower end of the 95% interval of effect_size.';
comment on column segments.profile.effect_high is 'Upper end of that interval.';
