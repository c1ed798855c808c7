create table if not exists segments.segment (
    segment_id    VARCHAR,
    segmentation  VARCHAR,
    segment_name  VARCHAR,
    description   VARCHAR,
    rule_sql      VARCHAR,
    user_count    BIGINT,
    share         DOUBLE,
    revenue       DOUBLE,
    revenue_share DOUBLE,
    created_at    TIMESTAMP,
    retired_at    TIMESTAMP
);

comment on table segments.segment is 'A segment. Its id is permanent: it survives refits and is never used again after the segment is retired.';
comment on column segments.segment.segment_id is 'Permanent id, such as behavior-3.';
comment on column segments.segment.segmentation is 'The segmentation it belongs to.';
comment on column segments.segment.segment_name is 'Readable name, distinct within the segmentation.';
comment on column segments.segment.description is 'What sets the segment apart, in one sentence with numbers.';
comment on column segments.segment.rule_sql is 'A SELECT of its users, where the segment is defined by a rule over published tables.';
comment on column segments.segment.user_count is 'Users in the segment.';
comment on column segments.segment.share is 'Part of the users of the segmentation, 0 to 1.';
comment on column segments.segment.revenue is 'Purchases minus returns of its users up to as_of.';
comment on column segments.segment.revenue_share is 'Part of all revenue, 0 to 1; NULL where there is no revenue.';
comment on column segments.segment.created_at is 'When the segment first appeared (UTC).';
comment on column segments.segment.retired_at is 'When it ceased to exist (UTC); NULL while in use.';
