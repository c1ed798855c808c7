-- How the published file lay on disk; a file of before is looked through once.
alter table sqlseg.published_file add column bytes bigint;
alter table sqlseg.published_file add column modified_ns bigint;
comment on column sqlseg.published_file.bytes is 'Its size when it was published, or last looked through.';
comment on column sqlseg.published_file.modified_ns is 'When it was changed last, in nanoseconds since 1970, as the file system said then.'
