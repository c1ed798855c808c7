create table if not exists segments.pin (
    user_id      VARCHAR,
    segmentation VARCHAR,
    segment_id   VARCHAR
);

comment on table segments.pin is 'Users whom an analyst has pinned to a segment of kind cluster, whatever their features say.';
comment on column segments.pin.user_id is 'The user.';
comment on column segments.pin.segmentation is 'The segmentation.';
comment on column segments.pin.segment_id is 'The segment that the user is held in.';
