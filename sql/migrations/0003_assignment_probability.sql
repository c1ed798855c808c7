-- How probable a user's segment is; known from the next fit on.
alter table segments.membership add column assignment_probability double;
comment on column segments.membership.assignment_probability is '0 to 1: the share of refits, on resamples of the users, that put the user in this segment; NULL for rules, algorithms without centroids, and models older than this column.';
