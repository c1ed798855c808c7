create table if not exists sqlseg.segment_day (
    segmentation VARCHAR,
    segment_id   VARCHAR,
    day          DATE,
    arrivals     BIGINT,
    user_days    BIGINT,
    buyers       BIGINT,
    orders       BIGINT,
    revenue      DOUBLE,
    run_id       VARCHAR
);

comment on table sqlseg.segment_day is 'What segments.daily is made of: comings and goings by day, and what was bought; days without either have no row.';
comment on column sqlseg.segment_day.segmentation is 'The segmentation.';
comment on column sqlseg.segment_day.segment_id is 'The segment.';
comment on column sqlseg.segment_day.day is 'The day in the time zone of the project.';
comment on column sqlseg.segment_day.arrivals is 'Users who came to the segment on that day, less those who left it.';
comment on column sqlseg.segment_day.user_days is 'Users of the segment who bought or returned something on that day.';
comment on column sqlseg.segment_day.buyers is 'Those who bought something.';
comment on column sqlseg.segment_day.orders is 'Orders placed on that day.';
comment on column sqlseg.segment_day.revenue is 'Purchases minus returns of that day.';
comment on column sqlseg.segment_day.run_id is 'The refresh that counted last.';
