-- What each refresh published; known from the next publication on.
alter table segments.run add column content_hash varchar;
comment on column segments.run.content_hash is 'Hash over all rows of all tables that the refresh published last, without this column; NULL before it is published, and of runs older than it. The view quality.content counts and hashes the tables of a published file.'
