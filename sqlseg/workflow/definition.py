"""What a segmentation is made of, as text that can be kept and compared with a later one."""

from collections.abc import Iterable, Mapping

from sqlseg.errors import SqlsegError
from sqlseg.features.view import View
from sqlseg.resources import shop_text
from sqlseg.settings import (
    ClusterSegmentation,
    FittedSegmentation,
    RulesSegmentation,
    Segmentation,
    SupervisedSegmentation,
)
from sqlseg.sqltext import parse_select, same_tree
from sqlseg.workflow.project import Forecast, Project, Sentiment

Definition = Mapping[str, str]
"""What matters, by a name that a reader understands: `k`, `features rfm@1`, `encoder behavior@1`."""


def segmentation_definition(project: Project, name: str) -> Definition:
    """Return everything that decides who is in which segment of a segmentation, besides the events."""
    segmentation: Segmentation = project.settings.segmentations[name]
    common = {"timezone": project.settings.project.timezone, "country": project.settings.project.country or "none"}
    match segmentation:
        case RulesSegmentation():
            views = project.views_read_by_rules(segmentation.sql)
            return {**common, "sql": shop_text(segmentation.sql), **_view_texts(views)}
        case ClusterSegmentation():
            weights = ", ".join(f"{name}: {weight:g}" for name, weight in sorted(segmentation.weights.items()))
            return {
                **common,
                "algorithm": segmentation.algorithm,
                "k": str(segmentation.k),
                "k_min": str(segmentation.k_min),
                "k_max": str(segmentation.k_max),
                "weights": weights or "none",
                **_unless("criterion", segmentation.criterion, "recurrence"),
                **({} if name not in project.pins else {"pins": project.pins[name].text}),
                "seed": str(project.settings.project.seed),
                **_inputs(project, segmentation),
            }
        case SupervisedSegmentation():
            return {
                **common,
                "algorithm": segmentation.algorithm,
                "labels": shop_text(segmentation.labels),
                **_unless("select", segmentation.select, "none"),
                **({"keep": f"{segmentation.keep:g}"} if segmentation.select != "none" else {}),
                **_unless("projection", segmentation.projection, "none"),
                "seed": str(project.settings.project.seed),
                **_inputs(project, segmentation),
                **_view_texts(project.views_read_by_rules(segmentation.labels)),
            }


def _inputs(project: Project, segmentation: FittedSegmentation) -> Definition:
    return {
        "inputs": ", ".join(str(one) for one in segmentation.inputs),
        # Left out where it is the default, so that projects from before there was a choice stay as they are.
        **_unless("correlation_limit", f"{segmentation.correlation_limit:g}", "0.98"),
        **_view_texts(project.views_read_by_cluster(segmentation)),
        **{f"encoder {encoder.ref}": encoder.manifest.sha256 for encoder in project.encoders_of(segmentation)},
        **_parts_of_forecasts(project.forecasts_of(segmentation)),
        **_content_encoders(project, segmentation),
        **_parts_of_sentiment(project, segmentation),
    }


def _unless(part: str, value: str, default: str) -> dict[str, str]:
    return {} if value == default else {part: value}


def _content_encoders(project: Project, segmentation: FittedSegmentation) -> Definition:
    views = project.views_read_by_cluster(segmentation)
    parts = {}
    if (reader := project.text_encoder) is not None and any(view.holds_texts for view in views):
        parts[f"text encoder {reader.ref}"] = reader.fingerprint
    if (looks := project.image_encoder) is not None and any(view.holds_images for view in views):
        parts[f"image encoder {looks.ref}"] = looks.fingerprint
    return parts


def forecast_definition(project: Project, forecast: Forecast) -> Definition:
    """Return everything that decides what is forecast of a user, besides the events."""
    return {
        "timezone": project.settings.project.timezone,
        "country": project.settings.project.country or "none",
        "seed": str(project.settings.project.seed),
        **_view_texts(project.views_read_by_forecast(forecast)),
        **_parts_of_forecasts([forecast]),
    }


def sentiment_definition(project: Project, sentiment: Sentiment) -> Definition:
    """Return everything that decides how the mood of a review is told, besides reviews and ratings."""
    return {
        "seed": str(project.settings.project.seed),
        "ratings": shop_text(sentiment.ratings),
        "pleased from": f"{sentiment.pleased_from:g}",
    }


def _parts_of_sentiment(project: Project, segmentation: FittedSegmentation) -> Definition:
    sentiment = project.sentiment
    if sentiment is None or sentiment.input not in project.learned_for(segmentation):
        return {}
    parts = sentiment_definition(project, sentiment).items()
    return {f"sentiment {part}": text for part, text in parts if part != "seed"}


def _parts_of_forecasts(forecasts: Iterable[Forecast]) -> dict[str, str]:
    parts = {}
    for forecast in forecasts:
        days = ", ".join(str(horizon) for horizon in forecast.horizons)
        parts[f"forecast {forecast.ref}"] = f"{days} days ahead, from {', '.join(view.ref for view in forecast.views)}"
        parts[f"encoder {forecast.ref}"] = forecast.encoder.manifest.sha256
    return parts


def project_definition(project: Project) -> Definition:
    """Return everything besides the events that decides what a refresh leaves behind."""
    parts: dict[str, str] = {}
    for name in project.settings.segmentations:
        for part, text in segmentation_definition(project, name).items():
            parts[f"{name}: {part}"] = text
    parts.update(_view_texts(project.published_views()))
    return parts


def _view_texts(views: Iterable[View]) -> dict[str, str]:
    return {f"{view.kind} {view.ref}": view.text for view in views}


def changed_parts(before: Definition, now: Definition) -> tuple[str, ...]:
    """Return in words what differs between two definitions; rewording the SQL of a view is no difference.

    >>> changed_parts({"k": "auto"}, {"k": "5", "features rfm@1": "select 1"})
    ('features rfm@1 is new', 'k is 5, was auto')
    """
    differences = []
    for part in sorted({*before, *now}):
        old, new = before.get(part), now.get(part)
        if old == new or (old and new and _same_sql(old, new)):
            continue
        if old is None:
            differences.append(f"{part} is new")
        elif new is None:
            differences.append(f"{part} is gone")
        elif "\n" in old + new or len(old + new) > 60:
            differences.append(f"{part} changed")
        else:
            differences.append(f"{part} is {new}, was {old}")
    return tuple(differences)


def _same_sql(a: str, b: str) -> bool:
    try:
        return same_tree(parse_select(a), parse_select(b))
    except SqlsegError:
        return False
