"""What people ask of a published file: its segments, one segment, one user, any query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.errors import SqlsegError
from sqlseg.events.confinement import Readable, check_shop_select
from sqlseg.resources import sql_text
from sqlseg.segments.sql_parts import Dialect
from sqlseg.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


class NothingPublished(SqlsegError):
    """There is no published file yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Nothing has been published yet: there is no {path}.", hint="Run `sqlseg refresh` first.")


class UnknownSegmentation(SqlsegError):
    """A command names a segmentation that has not been published."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"No segmentation named {name!r} is published.", hint=f"Choose one of: {', '.join(known)}.")


class NotPublished(SqlsegError):
    """A command needs tables that the privacy settings keep out of the published file."""

    def __init__(self, path: Path, missing: Sequence[str]) -> None:
        super().__init__(
            f"{path} is published without {', '.join(missing)}, which this needs.",
            hint="See [privacy] tables in sqlseg.toml, and segments.privacy in the published file.",
        )


@dataclass(frozen=True)
class SegmentRow:
    """One segment as the published file has it; shares are 0 to 1, `revenue_share` is None without revenue.

    What the privacy settings withhold is None.
    """

    segment_id: str
    name: str
    user_count: int | None
    share: float | None
    revenue: float | None
    revenue_share: float | None
    description: str | None


def open_published(path: Path, folders: Sequence[Path] = ()) -> Engine:
    """Open a published file for reading, and no other file but those in folders. Raises NothingPublished."""
    if not path.is_file():
        raise NothingPublished(path)
    engine = Engine.open(path, read_only=True)
    try:
        engine.confine(folders)
    except BaseException:
        engine.close()
        raise
    return engine


def check_published(reader: Engine, *tables: str) -> None:
    """Raise NotPublished where a published file lacks tables that are to be read."""
    missing = [table for table in tables if not reader.relation_exists(*table.split("."))]
    if missing and reader.path is not None:
        raise NotPublished(reader.path, missing)


def run_query(settings: Settings, sql: str, *, name: str = "the query", base: Path) -> "pa.Table":
    """Return the result of a query on the published file; nothing can be changed by it.

    It may read files in the folders that the project's SQL may read; relative paths begin at `base`. Raises
    NotAllowedInShopSql, which says where in `name`, or QueryFailed.
    """
    check_shop_select(sql, name, Readable(settings.events.paths, base))
    with open_published(settings.warehouse.published, settings.events.paths) as reader:
        reader.create_temp_view("asked", sql)  # refuses anything but one SELECT
        table = reader.table("select * from asked")
        beyond = [name for name in table.column_names if not _in_python(table[name])]
        if not beyond:
            return table
        texts = ", ".join(f"{quoted(name)}::varchar as {quoted(name)}" for name in beyond)
        return reader.table(f"select * replace ({texts}) from asked")


def _in_python(column: "pa.ChunkedArray") -> bool:
    """Return whether Python can hold every value: its calendar has the years 1 to 9999, and no infinity."""
    import pyarrow as pa

    if pa.types.is_primitive(column.type) and not pa.types.is_temporal(column.type):
        return True
    try:
        column.to_pylist()
    except (OverflowError, ValueError):
        return False
    return True


def segment_overview(path: Path) -> dict[str, list[SegmentRow]]:
    """Return the segments in use, the largest first, by segmentation."""
    with open_published(path) as reader:
        check_published(reader, "segments.segmentation", "segments.segment")
        found: dict[str, list[SegmentRow]] = {
            name: [] for (name,) in reader.rows("select segmentation from segments.segmentation order by 1")
        }
        for segmentation, *row in reader.rows(sql_text("steps/read/segments.sql")):
            found[segmentation].append(SegmentRow(*row))
    return found


@dataclass(frozen=True)
class SegmentationSheet:
    """One segmentation in full: its row in segments.segmentation, its segments, and what tells each apart.

    `telling` has, by segment id, rows of feature, mean, overall mean and lift; the most telling first. `content` has
    rows of input, term and lift: what the segment buys more of than others. `rules` has the condition that imitates the
    model, its precision and its recall; only of models. `inputs` has a row for each feature that the model leaves out
    or that was ranked: feature, status, reason, measure, score, rank.
    """

    facts: Mapping[str, Any]
    segments: tuple[SegmentRow, ...]
    telling: Mapping[str, tuple[tuple[str, float, float, float | None], ...]]
    rules: Mapping[str, tuple[str, float | None, float | None]]
    metrics: Mapping[str, float]
    content: Mapping[str, tuple[tuple[str, str, float], ...]]
    inputs: tuple[Mapping[str, Any], ...] = ()


def segmentation_sheet(path: Path, name: str, *, features: int = 5, terms: int = 5) -> SegmentationSheet:
    """Return what is published of one segmentation. Raises UnknownSegmentation."""
    overview = segment_overview(path)
    if name not in overview:
        raise UnknownSegmentation(name, list(overview))
    with open_published(path) as reader:
        check_published(reader, "segments.profile", "segments.metric")
        facts = reader.table("select * from segments.segmentation where segmentation = $name", {"name": name})
        telling: dict[str, list[tuple[str, float, float, float | None]]] = {}
        for segment_id, *row in reader.rows(
            sql_text("steps/read/telling_features.sql"), {"segmentation": name, "features": features}
        ):
            telling.setdefault(segment_id, []).append((row[0], row[1], row[2], row[3]))
        content: dict[str, list[tuple[str, str, float]]] = {}
        if reader.relation_exists("segments", "content_profile"):  # not in files that earlier releases published
            for segment_id, *row in reader.rows(
                sql_text("steps/read/telling_content.sql"), {"segmentation": name, "terms": terms}
            ):
                content.setdefault(segment_id, []).append((row[0], row[1], row[2]))
        rules: dict[str, tuple[str, float | None, float | None]] = {}
        if reader.relation_exists("segments", "rule"):  # which the first release did not publish
            rules = {
                segment_id: (condition, precision, recall)
                for segment_id, condition, precision, recall in reader.rows(
                    "select segment_id, condition, precision, recall from segments.rule "
                    "where segmentation = $segmentation and condition is not null",
                    {"segmentation": name},
                )
            }
        inputs = []
        if reader.relation_exists("segments", "input"):
            inputs = reader.table(sql_text("steps/read/used_inputs.sql"), {"segmentation": name}).to_pylist()
        metrics = dict(reader.rows(sql_text("steps/read/latest_metrics.sql"), {"segmentation": name}))
    return SegmentationSheet(
        facts.to_pylist()[0],
        tuple(overview[name]),
        {segment_id: tuple(rows) for segment_id, rows in telling.items()},
        rules,
        metrics,
        {segment_id: tuple(rows) for segment_id, rows in content.items()},
        tuple(inputs),
    )


def segmentation_sql(path: Path, name: str, dialect: Dialect) -> str:
    """Return the scoring of a published segmentation as SQL. Raises UnknownSegmentation or CannotCompile."""
    with open_published(path) as reader:
        check_published(reader, "segments.segmentation", "segments.segment", "segments.model")
        known = [row[0] for row in reader.rows("select segmentation from segments.segmentation order by 1")]
        if name not in known:
            raise UnknownSegmentation(name, known)
        from sqlseg.workflow.live import membership_sql

        return membership_sql(reader, name, dialect)
