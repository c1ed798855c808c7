create view if not exists segments.reason as
select
    r.user_id, r.segmentation, r.rank, r.feature, r.value, p.mean as segment_mean, p.overall_mean, r.contribution
from segments.user_reason as r
left join segments.profile as p
    on p.segmentation = r.segmentation and p.segment_id = r.segment_id and p.feature = r.feature;

comment on view segments.reason is 'Why a user is in the segment and not in the next one: the inputs that hold the user there most.';
comment on column segments.reason.user_id is 'The user.';
comment on column segments.reason.segmentation is 'The segmentation.';
comment on column segments.reason.rank is '1 for the input that speaks for the segment most.';
comment on column segments.reason.feature is 'The feature, <view>__<column>; an embedding is one input under its own name. ''pinned'' stands first where an analyst has pinned the user to the segment.';
comment on column segments.reason.value is 'What the user has; NULL for an embedding, and where it is unknown.';
comment on column segments.reason.segment_mean is 'Mean in the segment.';
comment on column segments.reason.overall_mean is 'Mean over all users.';
comment on column segments.reason.contribution is 'What the input adds to d2^2 - d1^2, the squared distances to the centroid of the runner-up and of the own segment, in the space of the model. All inputs of a user add up to it. Of segments learned from labels: its Shapley value in the log-odds of the own segment against the runner-up, before calibration; all inputs of a user add up to these less what they are for nobody in particular. Only those above 0 are kept, three at most.';
