create table if not exists segments.content_profile (
    segmentation  VARCHAR,
    segment_id    VARCHAR,
    input         VARCHAR,
    term          VARCHAR,
    user_count    BIGINT,
    share         DOUBLE,
    overall_share DOUBLE,
    lift          DOUBLE,
    rank          INTEGER
);

comment on table segments.content_profile is 'What a segment buys more of than others: its 50 terms of the highest lift, where the project has a content input.';
comment on column segments.content_profile.segmentation is 'The segmentation.';
comment on column segments.content_profile.segment_id is 'The segment.';
comment on column segments.content_profile.input is 'The content: content:category@1, content:item@1 or the shop''s own.';
comment on column segments.content_profile.term is 'The category, the item, or what else the content is of.';
comment on column segments.content_profile.user_count is 'Users of the segment who have the term: at least 5, and 5% of those who have any.';
comment on column segments.content_profile.share is 'Its part of what a user of the segment buys, 0 to 1: the mean over users, each weighing the same.';
comment on column segments.content_profile.overall_share is 'The same over all users.';
comment on column segments.content_profile.lift is 'share / overall_share.';
comment on column segments.content_profile.rank is '1 for the highest lift in the segment.';
