create table if not exists segments.rule (
    segmentation  VARCHAR,
    segment_id    VARCHAR,
    model_version INTEGER,
    condition     VARCHAR,
    precision     DOUBLE,
    recall        DOUBLE
);

comment on table segments.rule is 'Who is in a segment in plain conditions that imitate the model, made when it was fitted. How often they agree with it on users that they were not made from is the metric rule_fidelity.';
comment on column segments.rule.segmentation is 'The segmentation.';
comment on column segments.rule.segment_id is 'The segment.';
comment on column segments.rule.model_version is 'The model that is imitated.';
comment on column segments.rule.condition is 'An SQL condition over segments.<segmentation>_users, of ways with at most three features each; NULL where the segment has no rule of its own.';
comment on column segments.rule.precision is 'Part of the users that the condition finds who are in the segment, of users held out; NULL where it finds none.';
comment on column segments.rule.recall is 'Part of the segment that the condition finds, of users held out; NULL where none of them is in it.';
