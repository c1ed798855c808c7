"""Learns how pleased reviews sound from rated ones, and says it of every user who wrote any."""

import json

import numpy as np
import pyarrow as pa

from sqlseg.engine.duckdb import quoted
from sqlseg.events.ratings import read_ratings
from sqlseg.resources import sql_text
from sqlseg.segments.sentiment import FittedSentiment, NotLearned, RatedReviews, fit_sentiment
from sqlseg.settings import FittedSegmentation, InvalidSettings, setting_problem
from sqlseg.workflow.definition import sentiment_definition
from sqlseg.workflow.materialise import Moment, replace_touched
from sqlseg.workflow.project import Sentiment
from sqlseg.workflow.state import SentimentInUse, sentiment_in_use
from sqlseg.workflow.work import Work

LEARNED_FROM = 20_000
"""Rated reviews that are learned from at most; of more, as many are drawn."""

TEXTS_AT_ONCE = 20_000


def renew_sentiment(work: Work) -> None:
    """Learn the mood of reviews where that is due, else take the model in use. Raises InvalidSettings."""
    sentiment = work.project.sentiment
    if sentiment is None:
        return
    work.sentiment = work.plan.sentiment_there
    if sentiment.input not in work.plan.renewed_models:
        return
    definition = sentiment_definition(work.project, sentiment)
    ratings = read_ratings(
        work.engine,
        sentiment.ratings,
        work.project.directory,
        before=work.plan.as_of,
        most=LEARNED_FROM,
        seed=work.run.seed,
    )
    reviews = RatedReviews(
        ratings["text"].to_pylist(),
        np.asarray(ratings["rating"].to_numpy()) >= sentiment.pleased_from,
        np.array(ratings["user_id"].to_pylist(), dtype=object),
        np.asarray(ratings["event_time"].to_numpy()),
    )
    fitted = fit_sentiment(reviews, work.run.seed)
    if isinstance(fitted, NotLearned):
        if work.sentiment is None or work.sentiment.definition != definition:
            raise _refused(work, sentiment, fitted)
        stays = f"the model of {work.sentiment.fitted_as_of} stays"
        work.narrator.note(f"{sentiment.input} cannot be learned anew ({fitted.reason}); {stays}.")
        return
    # Read again: a refresh may fit twice, where what it finds leads to another fit.
    before = sentiment_in_use(work.engine)
    version = 1 if before is None else before.version + 1
    work.sentiment = SentimentInUse(version, fitted.model, definition, work.run.as_of)
    _record(work, sentiment, fitted, work.sentiment)
    told = fitted.measures
    usual = f"always saying the more usual: {told['accuracy_of_usual_answer']:.0%}"
    work.narrator.note(
        f"{sentiment.input}: of {told['tested_on']:,.0f} held-out reviews, later and by other users, "
        f"{told['accuracy']:.0%} are told rightly ({usual}); AUC {told['auc']:.2f}."
    )


def compute_sentiment(work: Work, moment: Moment) -> None:
    """Replace the moods of the reviews of the moment's users."""
    sentiment = work.project.sentiment
    if sentiment is None:
        return
    assert work.sentiment is not None
    engine, model = work.engine, work.sentiment.model
    engine.execute(
        "create or replace temp table review_events as select user_id, event_time, text "
        f"from {moment.events} where event_type = 'review' and trim(text) <> '' and event_time < $as_of",
        {"as_of": moment.as_of},
    )
    texts = engine.table("select distinct text from review_events order by text")["text"]
    chances = [
        model.chances(texts.slice(start, TEXTS_AT_ONCE).to_pylist()) for start in range(0, len(texts), TEXTS_AT_ONCE)
    ]
    scored = pa.table({"text": texts, "sentiment": pa.array(np.concatenate([np.empty(0), *chances]))})
    table = f"sqlseg.{quoted(f'feature_{sentiment.relation}')}"
    engine.create_temp_view("reviewers", f"select user_id from {moment.users}")
    with engine.registered("scored_texts", scored):
        into = f"table {table}" if moment.of_everyone else "temp table fresh_rows"
        engine.execute(
            f"create or replace {into} as " + sql_text("steps/sentiment/users.sql"),
            {"displeased_below": model.displeased_below},
        )
    if not moment.of_everyone:
        replace_touched(engine, table, "fresh_rows")
        engine.execute("drop table fresh_rows")
    engine.execute("drop view reviewers; drop table review_events")


def _record(work: Work, sentiment: Sentiment, fitted: FittedSentiment, made: SentimentInUse) -> None:
    here = {"ref": sentiment.ref, "version": made.version, "as_of": made.fitted_as_of}
    work.engine.execute(
        "insert into sqlseg.sentiment_model values ($ref, $version, $parameters, $definition, $because, $at, $as_of)",
        {
            **here,
            "parameters": fitted.model.to_json(),
            "definition": json.dumps(made.definition, sort_keys=True),
            "because": work.plan.renewed_models[sentiment.input],
            "at": work.run.started_at,
        },
    )
    for measure, value in fitted.measures.items():
        work.engine.execute(
            "insert into segments.sentiment_measure values ($ref, $version, $as_of, $measure, $value)",
            {**here, "measure": measure, "value": value},
        )


def _refused(work: Work, sentiment: Sentiment, refusal: NotLearned) -> InvalidSettings:
    """Return the error at the input that cannot be learned."""
    settings = work.project.settings
    for name, segmentation in settings.segmentations.items():
        if isinstance(segmentation, FittedSegmentation) and sentiment.input in map(str, segmentation.inputs):
            place = [str(one) for one in segmentation.inputs].index(sentiment.input)
            message = f"{sentiment.input} cannot be learned from {sentiment.ratings}: {refusal.reason}"
            return setting_problem(settings, ("segmentations", name, "inputs", place), message)
    raise AssertionError(f"{sentiment.input} is no input")
