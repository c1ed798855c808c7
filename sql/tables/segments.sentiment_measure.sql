create table if not exists segments.sentiment_measure (
    sentiment     VARCHAR,
    model_version INTEGER,
    fitted_as_of  TIMESTAMP,
    measure       VARCHAR,
    value         DOUBLE
);

comment on table segments.sentiment_measure is 'How well the mood of reviews was told on held-out ones: later than those learned from, and by other users.';
comment on column segments.sentiment_measure.sentiment is 'What is read, such as reviews@1.';
comment on column segments.sentiment_measure.model_version is 'The model; the highest is in use.';
comment on column segments.sentiment_measure.fitted_as_of is 'as_of of the reviews it was fitted on (UTC).';
comment on column segments.sentiment_measure.measure is 'auc, accuracy, accuracy_of_usual_answer (that of always saying the more usual), balanced_accuracy, brier, mean_sentiment, mean_actual, learned_from or tested_on (reviews).';
comment on column segments.sentiment_measure.value is 'Its value.';
