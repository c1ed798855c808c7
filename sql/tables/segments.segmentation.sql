create table if not exists segments.segmentation (
    segmentation  VARCHAR,
    kind          VARCHAR,
    algorithm     VARCHAR,
    model_version INTEGER,
    inputs        VARCHAR,
    segment_count INTEGER,
    user_count    BIGINT,
    as_of         TIMESTAMP,
    data_through  TIMESTAMP,
    fitted_at     TIMESTAMP,
    refreshed_at  TIMESTAMP,
    status        VARCHAR
);

comment on table segments.segmentation is 'One way of dividing the users, as sqlseg.toml declares it.';
comment on column segments.segmentation.segmentation is 'Name in sqlseg.toml.';
comment on column segments.segmentation.kind is 'cluster, rules or supervised.';
comment on column segments.segmentation.algorithm is 'How the segments were found or learned; NULL for rules.';
comment on column segments.segmentation.model_version is 'Version of the fitted model in use; counts up at every refit or changed rule.';
comment on column segments.segmentation.inputs is 'Inputs with their versions, a JSON list.';
comment on column segments.segmentation.segment_count is 'Segments in use.';
comment on column segments.segmentation.user_count is 'Users that have a segment.';
comment on column segments.segmentation.as_of is 'Moment of which the memberships speak (UTC).';
comment on column segments.segmentation.data_through is 'Newest event that was used (UTC).';
comment on column segments.segmentation.fitted_at is 'When the model in use was fitted (UTC).';
comment on column segments.segmentation.refreshed_at is 'When the memberships were last computed (UTC).';
comment on column segments.segmentation.status is 'ready; or what the reader should know.';
