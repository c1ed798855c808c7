create table if not exists segments.input (
    segmentation  VARCHAR,
    model_version INTEGER,
    feature       VARCHAR,
    input         VARCHAR,
    status        VARCHAR,
    reason        VARCHAR,
    measure       VARCHAR,
    score         DOUBLE,
    rank          INTEGER
);

comment on table segments.input is 'What each model was given and what it uses of it: one row a feature, kept or dropped, and why.';
comment on column segments.input.segmentation is 'The segmentation.';
comment on column segments.input.model_version is 'The model.';
comment on column segments.input.feature is 'The feature, <view>__<column>; an embedding is one under its own name, a level of a text column is <view>__<column>=<level>.';
comment on column segments.input.input is 'The input that it came with, as the settings name it.';
comment on column segments.input.status is 'kept: the model uses it; dropped: it does not.';
comment on column segments.input.reason is 'Why it was dropped; of an embedding and of what users buy, how much of it its axes keep; else NULL.';
comment on column segments.input.measure is 'What the features were chosen by: mutual_information or chi_squared; NULL where nothing was chosen.';
comment on column segments.input.score is 'How much the feature tells of the label by that measure, of the users that the model was learned from.';
comment on column segments.input.rank is '1 for the highest score.';
