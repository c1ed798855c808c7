create table if not exists segments.daily (
    date         DATE,
    segmentation VARCHAR,
    segment_id   VARCHAR,
    segment_name VARCHAR,
    user_count   BIGINT,
    buyers       BIGINT,
    orders       BIGINT,
    revenue      DOUBLE
);

comment on table segments.daily is 'Activity by day and segment; a user counts for the segment held on that day, before the first stay for the first one.';
comment on column segments.daily.date is 'The day in the time zone of the project.';
comment on column segments.daily.segmentation is 'The segmentation.';
comment on column segments.daily.segment_id is 'The segment.';
comment on column segments.daily.segment_name is 'The name of the segment.';
comment on column segments.daily.user_count is 'Users in the segment at the end of the day, counted from their first event on.';
comment on column segments.daily.buyers is 'Users who bought on that day.';
comment on column segments.daily.orders is 'Orders placed on that day.';
comment on column segments.daily.revenue is 'Purchases minus returns of that day.';
