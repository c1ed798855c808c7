create table if not exists segments.lineage (
    segmentation    VARCHAR,
    model_version   INTEGER,
    from_segment_id VARCHAR,
    to_segment_id   VARCHAR,
    relation        VARCHAR,
    overlap         DOUBLE
);

comment on table segments.lineage is 'What became of each segment when a model was fitted again.';
comment on column segments.lineage.segmentation is 'The segmentation.';
comment on column segments.lineage.model_version is 'The model that was fitted.';
comment on column segments.lineage.from_segment_id is 'The segment before; NULL for one that was born.';
comment on column segments.lineage.to_segment_id is 'The segment after; NULL for one that was retired.';
comment on column segments.lineage.relation is 'kept, split, merged, born or retired.';
comment on column segments.lineage.overlap is 'kept: users before and after, shared by both (Jaccard index); split, born: share of the new that came from the old; merged, retired: share of the old that went to the new.';
