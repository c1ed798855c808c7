create table if not exists segments.run (
    run_id          VARCHAR,
    kind            VARCHAR,
    status          VARCHAR,
    started_at      TIMESTAMP,
    finished_at     TIMESTAMP,
    as_of           TIMESTAMP,
    data_through    TIMESTAMP,
    events_total    BIGINT,
    events_new      BIGINT,
    events_rejected BIGINT,
    users_total     BIGINT,
    users_touched   BIGINT,
    users_embedded  BIGINT,
    users_moved     BIGINT,
    provider        VARCHAR,
    seconds         VARCHAR,
    versions        VARCHAR,
    error           VARCHAR,
    content_hash    VARCHAR
);

comment on table segments.run is 'Every refresh, also those that failed or found nothing new.';
comment on column segments.run.run_id is 'Id of the run; later runs sort after earlier ones.';
comment on column segments.run.kind is 'cold (first), warm, refit or noop (nothing new).';
comment on column segments.run.status is 'running, done or failed.';
comment on column segments.run.started_at is 'Start (UTC).';
comment on column segments.run.finished_at is 'End (UTC).';
comment on column segments.run.as_of is 'Moment of which its results speak (UTC).';
comment on column segments.run.data_through is 'Newest event that was used (UTC).';
comment on column segments.run.events_total is 'Accepted events.';
comment on column segments.run.events_new is 'Accepted events that the run before did not have.';
comment on column segments.run.events_rejected is 'Rows that were refused; see quality.rejection.';
comment on column segments.run.users_total is 'Users with an event before as_of.';
comment on column segments.run.users_touched is 'Users whose events changed since the run before.';
comment on column segments.run.users_embedded is 'Users that an encoder embedded anew.';
comment on column segments.run.users_moved is 'Moves between segments, over all segmentations.';
comment on column segments.run.provider is 'onnxruntime provider that really ran, such as CPUExecutionProvider; NULL where none did.';
comment on column segments.run.seconds is 'Seconds by step, as JSON.';
comment on column segments.run.versions is 'Versions of sqlseg, its libraries, views and encoders, as JSON.';
comment on column segments.run.error is 'What went wrong in a failed run.';
comment on column segments.run.content_hash is 'Hash over all rows of all tables that the refresh published last, without this column; NULL before it is published. The view quality.content counts and hashes the tables of a published file.';
