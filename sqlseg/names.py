"""Every public schema, table and canonical column, once."""

from dataclasses import dataclass
from typing import Final

SCHEMAS: Final = ("sqlseg", "stats", "features", "embeddings", "segments", "quality")


@dataclass(frozen=True)
class Relation:
    """A table or view, by schema and name.

    >>> str(Relation("segments", "segment"))
    'segments.segment'
    """

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def live_relation(segmentation: str) -> Relation:
    """Return the name of a segmentation's live view."""
    return Relation("segments", f"{segmentation}_live")


WHOLE_ROW: Final = '"a whole row"'
"""An alias of relations whose rows are hashed: where a column has the name of the alias, it alone would be hashed."""

REASON: Final = Relation("segments", "reason")
"""The one that is a view, also in the published file."""

PRIVACY: Final = Relation("segments", "privacy")
"""In the published file alone, and only where [privacy] asks for something."""

RUN: Final = Relation("segments", "run")

CONTENT: Final = Relation("quality", "content")
"""A view of the published file alone."""

PRIVATE: Final = Relation("segments", "private_segment")
"""Published only where [privacy] sets a budget."""

# What a refresh leaves in both files; views over features and statistics come beside them.
PUBLISHED_TABLES: Final = (
    Relation("segments", "segmentation"),
    Relation("segments", "segment"),
    Relation("segments", "membership"),
    Relation("segments", "membership_history"),
    Relation("segments", "transition"),
    Relation("segments", "lineage"),
    Relation("segments", "daily"),
    Relation("segments", "profile"),
    Relation("segments", "user_reason"),
    REASON,
    Relation("segments", "content_profile"),
    Relation("segments", "rule"),
    Relation("segments", "pin"),
    Relation("segments", "input"),
    Relation("segments", "metric"),
    Relation("segments", "drift"),
    Relation("segments", "model"),
    Relation("segments", "forecast_model"),
    Relation("segments", "forecast_measure"),
    Relation("segments", "sentiment_measure"),
    RUN,
    Relation("quality", "rejection"),
    Relation("quality", "check"),
    Relation("quality", "erasure"),
)

# Of the warehouse alone: source rows as they came, and what the next refresh must know.
WAREHOUSE_TABLES: Final = (
    Relation("quality", "rejected_events"),
    PRIVATE,
    Relation("sqlseg", "refresh_state"),
    Relation("sqlseg", "model_fingerprint"),
    Relation("sqlseg", "segment_name"),
    Relation("sqlseg", "rule_segment"),
    Relation("sqlseg", "computed_relation"),
    Relation("sqlseg", "sentiment_model"),
    Relation("sqlseg", "source_memory"),
    Relation("sqlseg", "source_partition"),
    Relation("sqlseg", "duplicate_event"),
    Relation("sqlseg", "attribute_memory"),
    Relation("sqlseg", "segment_day"),
    Relation("sqlseg", "kept_part"),
    Relation("sqlseg", "behind_part"),
    Relation("sqlseg", "published_file"),
    Relation("sqlseg", "published_content"),
)


@dataclass(frozen=True)
class CanonicalColumn:
    """A column of canonical events: its DuckDB type, and what it means."""

    name: str
    type: str
    description: str
    required: bool = False


EVENT_COLUMNS: Final = (
    CanonicalColumn("user_id", "VARCHAR", "Who did it.", required=True),
    CanonicalColumn("event_time", "TIMESTAMP", "When, in UTC.", required=True),
    CanonicalColumn("event_type", "VARCHAR", "What happened.", required=True),
    CanonicalColumn("event_id", "VARCHAR", "Identifies the event in its source."),
    CanonicalColumn("item_id", "VARCHAR", "The item it was about."),
    CanonicalColumn("category", "VARCHAR", "The category of the item."),
    CanonicalColumn("order_id", "VARCHAR", "The order that a purchase line belongs to."),
    CanonicalColumn("session_id", "VARCHAR", "The visit."),
    CanonicalColumn("text", "VARCHAR", "What was typed: a search, a review."),
    CanonicalColumn("price", "DOUBLE", "Price per unit, after discount."),
    CanonicalColumn("discount", "DOUBLE", "Amount taken off the line."),
    CanonicalColumn("quantity", "DOUBLE", "Units, at least 0; NULL counts as 1."),
    CanonicalColumn("duration", "DOUBLE", "Seconds on a page."),
    CanonicalColumn("ingested_at", "TIMESTAMP", "When the source learned of it, in UTC."),
)

KNOWN_EVENT_TYPES: Final = ("view", "search", "cart", "favorite", "purchase", "return", "review", "coupon")
