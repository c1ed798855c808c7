"""What people read of forecasts and moods: views whose columns are explained as those of feature views are."""

from collections.abc import Sequence
from pathlib import Path

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import comment_on
from sqlseg.features.view import View, parse_view
from sqlseg.workflow.project import Forecast, Sentiment

_COLUMNS = {
    "p_order": "#not_null #range(0,1) #high(likely to order) #low(unlikely to order) chance of an order within {days} "
    "days",
    "orders": "#not_null #range(0,) #high(many orders ahead) #low(few orders ahead) expected orders within {days} days",
    "spend": "#not_null #range(0,) #high(high expected spend) #low(low expected spend) expected spend within {days} "
    "days: purchases minus returns",
}


def forecast_view(forecast: Forecast, columns: Sequence[str]) -> View:
    """Return the view that describes the columns of a forecast, such as `p_order_30d`."""
    lines = [
        f"-- What users will do, by heads fitted to the shop's own past on the encoder {forecast.ref}.",
        "-- How well they did is in segments.forecast_measure.",
        "select",
        "    user_id, -- #unique #not_null the user",
    ]
    for number, column in enumerate(columns, start=1):
        target, _, days = column.rpartition("_")
        comma = "," if number < len(columns) else ""
        lines.append(f"    {column}{comma} -- {_COLUMNS[target].format(days=days.removesuffix('d'))}")
    lines.append("from users")
    path = Path(f"{forecast.name}__v{forecast.encoder.manifest.version}.sql")
    return parse_view("features", path, "\n".join(lines))


_SENTIMENT = """-- How pleased the reviews of a user sound, by their words, learned from the shop's rated reviews.
-- How well that is told is in segments.sentiment_measure.
select
    user_id, -- #unique #not_null the user
    mean_sentiment, -- #range(0,1) #high(pleased) #low(displeased) mood of the reviews: chance that they are rated as
                    -- pleased, the mean; NULL without a review
    last_sentiment, -- #range(0,1) #high(pleased lately) #low(displeased lately) mood of the last review
    negative_share, -- #range(0,1) #high(many complaints) #low(few complaints) share of reviews that sound displeased
    review_count -- #not_null #range(0,) #high(many reviews) #low(few reviews) reviews written
from users
"""


def sentiment_view(sentiment: Sentiment) -> View:
    """Return the view that describes the moods of reviews."""
    return parse_view("features", Path(f"{sentiment.relation.replace('_v', '__v')}.sql"), _SENTIMENT)


def create_learned_views(engine: Engine, views: Sequence[View]) -> None:
    """Make `features.<name>_v<k>` of what the refresh computed, and one without version for the newest."""
    newest = {view.name: view for view in sorted(views, key=lambda view: view.version)}
    for view in views:
        engine.execute(f"create or replace view {view.relation} as select * from sqlseg.{quoted(view.table)}")
        described = {column.name: column.description for column in view.columns}
        text = f"{view.summary} {view.description}"
        comment_on(engine, "view", view.relation, text, described)
        if newest[view.name] is view:
            alias = f"features.{quoted(view.name)}"
            engine.execute(f"create or replace view {alias} as select * from {view.relation}")
            comment_on(engine, "view", alias, f"{view.ref}: {text}", described)
