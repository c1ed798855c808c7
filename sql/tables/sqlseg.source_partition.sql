create table if not exists sqlseg.source_partition (
    day           DATE,
    row_count     BIGINT,
    hash_sum      HUGEINT,
    hash_xor      UBIGINT,
    newest        TIMESTAMP,
    last_ingested TIMESTAMP
);

comment on table sqlseg.source_partition is 'The content of the source, day by day: only days whose content is another are read again.';
comment on column sqlseg.source_partition.day is 'The day of event_time (UTC); NULL for rows whose time cannot be read.';
comment on column sqlseg.source_partition.row_count is 'Source rows of that day, usable or not.';
comment on column sqlseg.source_partition.hash_sum is 'Sum of the hashes of those rows.';
comment on column sqlseg.source_partition.hash_xor is 'The hashes of those rows, combined by exclusive or.';
comment on column sqlseg.source_partition.newest is 'The newest event_time among them (UTC).';
comment on column sqlseg.source_partition.last_ingested is 'The newest ingested_at among them that had passed when they were read (UTC).';
