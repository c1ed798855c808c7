create table if not exists sqlseg.rule_segment (
    segmentation VARCHAR,
    rule_name    VARCHAR,
    segment_id   VARCHAR
);

comment on table sqlseg.rule_segment is 'The id of every segment that a rule ever named.';
comment on column sqlseg.rule_segment.segmentation is 'The segmentation.';
comment on column sqlseg.rule_segment.rule_name is 'The segment_name that the rule returned.';
comment on column sqlseg.rule_segment.segment_id is 'The permanent id it got.';
