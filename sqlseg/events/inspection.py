"""Looks at a source before it is mapped: where it is, how to read it, and what its columns hold."""

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.errors import QueryFailed
from sqlseg.errors import SqlsegError
from sqlseg.events.column_names import plain_identifier, squashed
from sqlseg.resources import sql_text

SAMPLED_CELLS = 800_000
MOST_CHOICES = 60

_FILE_KINDS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv"}
_DATABASES = (".duckdb", ".ddb", ".db", ".sqlite", ".sqlite3")
_SCHEMAS_TO_HIDE = ("information_schema", "pg_catalog")


class UnusableEventSource(SqlsegError):
    """What `--events` names cannot be read as a table."""


@dataclass(frozen=True)
class Source:
    """A table or file that holds events: its place on disk, and within a database its schema and table."""

    location: Path
    kind: Literal["parquet", "csv", "duckdb", "sqlite"]
    table: tuple[str, str] | None = None

    @property
    def folder(self) -> Path:
        """The deepest folder that holds everything the source reads."""
        path = self.location.parent
        while glob.has_magic(str(path)):
            path = path.parent
        return path

    def __str__(self) -> str:
        return f"{self.location.name}::{'.'.join(self.table)}" if self.table else self.location.name


@dataclass(frozen=True)
class ColumnProfile:
    """A column of a source. Shares are of the filled values of a sample; `choices` is empty where there are many."""

    name: str
    type: str
    filled_share: float
    distinct: int
    number_share: float
    comma_share: float
    comma_decimals: bool
    decorated_share: float
    whole_share: float
    negative_share: float
    point_zero_share: float
    minimum: float | None
    maximum: float | None
    time_share: float
    zone_share: float
    day_share: float
    clock_share: float
    cancelled_share: float
    digit_share: float
    average_length: float
    examples: tuple[str, ...]
    choices: tuple[tuple[str, int], ...] = ()
    formats: tuple[str, ...] = ()
    codes_without_digits: tuple[str, ...] = ()

    @property
    def sql(self) -> str:
        """The column as SQL writes it, in quotes where it needs them."""
        return plain_identifier(self.name)

    @property
    def is_text(self) -> bool:
        return self.type == "VARCHAR"

    @property
    def is_number(self) -> bool:
        return self.number_share > 0.95 and not self.is_time_type and self.type != "BOOLEAN"

    @property
    def is_time_type(self) -> bool:
        return self.type.startswith(("TIMESTAMP", "DATE", "TIME"))

    @property
    def is_whole(self) -> bool:
        return self.is_number and self.whole_share > 0.999


@dataclass(frozen=True)
class SourceProfile:
    """A source as `inspect_source` found it; `reader` is the SQL expression behind FROM for an absolute location."""

    source: Source
    row_count: int
    columns: tuple[ColumnProfile, ...]
    csv_options: str = ""

    def column(self, name: str) -> ColumnProfile:
        return next(column for column in self.columns if column.name == name)


def find_source(engine: Engine, text: str, cwd: Path) -> Source:
    """Return the source that `--events` names: a Parquet or CSV file, a folder or glob of them, or a table of a
    database file as `crm.duckdb::orders` (`::schema.orders`); the table may be left out where there is only one.

    Raises UnusableEventSource, listing what there is to choose from.
    """
    place, _, table = text.partition("::")
    location = _location(place, cwd)
    if table or location.suffix.lower() in _DATABASES:
        return _table_of(engine, location, table)
    if location.is_dir():
        return _files_in(location)
    if glob.has_magic(place):
        found = _matches(location)
        if not found:
            raise UnusableEventSource(f"No file matches {location}.")
        return Source(location, _file_kind(found[0]))
    if not location.exists():
        near = sorted(path.name for path in location.parent.glob("*") if _kind_or_none(path))[:10]
        hint = f"{location.parent} has: {', '.join(near)}." if near else None
        raise UnusableEventSource(f"There is no file {location}.", hint=hint)
    return Source(location, _file_kind(location))


def _location(place: str, cwd: Path) -> Path:
    try:
        location = Path(os.path.normpath(cwd / Path(place).expanduser()))
        location.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return location
    except (OSError, RuntimeError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UnusableEventSource(f"{place!r} cannot be the path of a file: {told}.") from error
    return location


def inspect_source(engine: Engine, source: Source) -> SourceProfile:
    """Look at the columns of a source: types, a sample of the content, and every value where there are few.

    Attaches a database under its alias for as long as it looks. Raises UnusableEventSource.
    """
    options = _csv_options(engine, source) if source.kind == "csv" else ""
    if source.table:
        engine.attach(source.location, "inspected_database", kind="sqlite" if source.kind == "sqlite" else "duckdb")
    try:
        relation = relation_sql(source, source.location.as_posix(), options, "inspected_database")
        engine.create_temp_view("inspected", f"select * from {relation}")
        return SourceProfile(source, *_profile(engine, source), options)
    except QueryFailed as error:
        raise UnusableEventSource(f"{source.location} cannot be read: {error.message}") from error
    finally:
        engine.execute("drop view if exists inspected_choices; drop view if exists inspected_column")
        engine.execute("drop view if exists inspected; drop table if exists inspected_cells")
        engine.execute("drop table if exists inspected_sample")
        if source.table:
            engine.detach("inspected_database")


def relation_sql(source: Source, location: str, csv_options: str, database: str | None) -> str:
    """Return what stands behind FROM to read a source: its location as it is to be written, or its table's name."""
    if source.table:
        names = [*([database] if database else []), *source.table]
        return ".".join(plain_identifier(name) for name in names)
    literal = "'" + location.replace("'", "''") + "'"
    if source.kind == "csv":
        return f"read_csv({literal}, {csv_options})"
    several = ", union_by_name=true" if glob.has_magic(location) else ""
    return f"read_parquet({literal}{several})"


def _profile(engine: Engine, source: Source) -> tuple[int, tuple[ColumnProfile, ...]]:
    types = engine.describe("select * from inspected")
    row_count = int(engine.value("select count(*) from inspected"))
    if row_count == 0:
        raise UnusableEventSource(f"{source} has no rows.")
    rows = max(10_000, SAMPLED_CELLS // len(types))
    engine.execute(
        "create or replace temp table inspected_sample as "
        f"select columns(*)::varchar from inspected using sample reservoir({rows:d} rows) repeatable (1)"
    )
    engine.execute(
        "create or replace temp table inspected_cells as "
        "from inspected_sample unpivot include nulls (value for column_name in (columns(*)))"
    )
    facts = _by_column(engine.table(sql_text("steps/inspect/columns.sql")).to_pylist())
    few = [name for name, fact in facts.items() if 0 < fact["distinct_values"] <= MOST_CHOICES]
    choices: dict[str, list[tuple[str, int]]] = {}
    if few:
        names = ", ".join(f"{quoted(name)}::varchar as {quoted(name)}" for name in few)
        engine.create_temp_view("inspected_choices", f"select {names} from inspected")
        for name, value, count in engine.rows(sql_text("steps/inspect/values.sql")):
            choices.setdefault(name, []).append((value, count))
    codes = dict(engine.rows(sql_text("steps/inspect/codes_without_digits.sql")))
    formats = {
        name: _time_formats(engine, name)
        for name, fact in facts.items()
        if types[name] == "VARCHAR" and fact["dates_of_any_form"] > 0.9 * fact["filled"] > fact["times"]
    }
    return row_count, tuple(
        _column(
            name, kind, facts[name], tuple(choices.get(name, ())), formats.get(name, ()), tuple(codes.get(name, ()))
        )
        for name, kind in types.items()
    )


def _by_column(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["column_name"]: row for row in rows}


def _time_formats(engine: Engine, name: str) -> tuple[str, ...]:
    engine.create_temp_view("inspected_column", f"select {quoted(name)} as value from inspected_sample limit 20000")
    return tuple(form for form, _ in engine.rows(sql_text("steps/inspect/time_formats.sql")))


def _column(
    name: str, kind: str, fact: Mapping[str, Any], choices: tuple[tuple[str, int], ...],
    formats: tuple[str, ...], codes: tuple[str, ...],
) -> ColumnProfile:  # fmt: skip
    filled = max(fact["filled"], 1)
    return ColumnProfile(
        name=name,
        type=kind,
        filled_share=fact["filled"] / max(fact["row_count"], 1),
        distinct=fact["distinct_values"],
        number_share=fact["numbers"] / filled,
        comma_share=fact["comma_numbers"] / filled,
        comma_decimals=fact["comma_decimals"] > 0,
        decorated_share=fact["decorated_numbers"] / filled,
        whole_share=fact["whole_numbers"] / filled,
        negative_share=fact["negatives"] / filled,
        point_zero_share=fact["with_point_zero"] / filled,
        minimum=fact["minimum"],
        maximum=fact["maximum"],
        time_share=fact["times"] / filled,
        zone_share=fact["times_with_zone"] / filled,
        day_share=fact["days_only"] / filled,
        clock_share=fact["times_of_day"] / filled,
        cancelled_share=fact["cancelled_numbers"] / filled,
        digit_share=fact["with_digits"] / filled,
        average_length=fact["average_length"] or 0.0,
        examples=tuple(str(value)[:40] for value in fact["examples"] or ()),
        choices=choices,
        formats=formats,
        codes_without_digits=codes,
    )


# --- finding the source ----------------------------------------------------------------------------------------------


def _matches(pattern: Path) -> list[Path]:
    return [Path(found) for found in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207  (absolute)


def _kind_or_none(path: Path) -> Literal["parquet", "csv"] | None:
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    kind = _FILE_KINDS.get(Path(name).suffix)
    return "parquet" if kind == "parquet" else "csv" if kind == "csv" else None


def _file_kind(path: Path) -> Literal["parquet", "csv"]:
    kind = _kind_or_none(path)
    if kind is None:
        raise UnusableEventSource(
            f"{path} is no file that events can be read from.",
            hint="Parquet (.parquet) and CSV (.csv, .tsv, also .gz) files are, and tables: shop.duckdb::orders.",
        )
    return kind


def _files_in(folder: Path) -> Source:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _kind_or_none(path)]
    patterns = {"".join(path.suffixes[-2:]) if path.suffix in (".gz", ".zst") else path.suffix for path in files}
    if len(patterns) != 1:
        what = f"files of several kinds ({', '.join(sorted(patterns))})" if patterns else "no Parquet or CSV file"
        raise UnusableEventSource(
            f"{folder} holds {what}.", hint="Name one file, or a pattern such as 'data/*.parquet'."
        )
    deep = any(path.parent != folder for path in files)
    return Source(folder / ("**" if deep else "") / f"*{patterns.pop()}", _file_kind(files[0]))


def _table_of(engine: Engine, location: Path, table: str) -> Source:
    if not location.is_file():
        raise UnusableEventSource(f"There is no database file {location}.")
    with location.open("rb") as file:
        is_sqlite = file.read(16).startswith(b"SQLite format 3")
    kind: Literal["duckdb", "sqlite"] = "sqlite" if is_sqlite else "duckdb"
    engine.attach(location, "inspected_database", kind=kind)
    try:
        tables = [
            (schema, name)
            for schema, name in engine.rows(
                "select schema_name, table_name from duckdb_tables() where database_name = 'inspected_database' "
                "union all select schema_name, view_name from duckdb_views() "
                "where database_name = 'inspected_database' and not internal order by all"
            )
            if schema not in _SCHEMAS_TO_HIDE
        ]
    finally:
        engine.detach("inspected_database")
    written = [name if schema == "main" else f"{schema}.{name}" for schema, name in tables]
    wanted = [
        found
        for found, name in zip(tables, written, strict=True)
        if table.lower() in (name.lower(), ".".join(found).lower())
    ]
    if not table and len(tables) == 1:
        wanted = tables
    if not tables:
        raise UnusableEventSource(f"{location} holds no tables.")
    if len(wanted) != 1:
        what = f"has no table {table!r}" if table else f"holds {len(tables)} tables"
        raise UnusableEventSource(
            f"{location} {what}.",
            hint=f"Choose one of: {', '.join(f'{location.name}::{name}' for name in _closest(table, written))}.",
        )
    return Source(location, kind, wanted[0])


def _closest(name: str, known: list[str]) -> list[str]:
    if len(known) <= 10:
        return known
    return sorted(known, key=lambda one: -SequenceMatcher(None, name, one).ratio())[:10]


def _unreadable_csv(path: str, error: QueryFailed) -> UnusableEventSource:
    return UnusableEventSource(
        f"{path} cannot be read as CSV: {error.message.splitlines()[0]}",
        hint="Save it as CSV in UTF-8, or name a Parquet file or a table of a DuckDB file.",
    )


def _marked_encoding(path: str) -> str:
    """Return the option for the encoding that the first bytes of a file name, as some programs write them."""
    try:
        with Path(path).open("rb") as file:
            mark = file.read(2)
    except OSError as error:
        raise UnusableEventSource(f"{path} cannot be read: {error.strerror or error}.") from error
    if mark == b"\xfe\xff":
        raise UnusableEventSource(f"{path} is text in big-endian UTF-16.", hint="Save it as CSV in UTF-8.")
    return ", encoding='utf-16'" if mark == b"\xff\xfe" else ""


def _csv_options(engine: Engine, source: Source) -> str:
    """Return how to read a CSV file, spelled out: every value as text, so that reading never depends on a sample."""
    pattern = str(source.location)
    first = str(_matches(source.location)[0]) if glob.has_magic(pattern) else pattern
    encoding = _marked_encoding(first)
    try:
        sniffed = engine.row(
            f"select Delimiter, HasHeader, SkipRows, Columns from sniff_csv($path{encoding})", {"path": first}
        )
    except QueryFailed as error:
        if "utf-8" not in error.message.lower() or encoding:
            raise _unreadable_csv(first, error) from error
        encoding = ", encoding='latin-1'"
        try:
            sniffed = engine.row(
                "select Delimiter, HasHeader, SkipRows, Columns from sniff_csv($path, encoding = 'latin-1')",
                {"path": first},
            )
        except QueryFailed as second:
            raise _unreadable_csv(first, second) from second
    assert sniffed is not None
    delimiter, has_header, skipped, columns = sniffed
    header = has_header or any(squashed(column["name"]) in ("userid", "customerid") for column in columns)
    options = f"delim='{delimiter}', header={str(header).lower()}, all_varchar=true{encoding}".replace("\t", "\\t")
    options += f", skip={skipped}" if skipped else ""
    return options + (", union_by_name=true" if glob.has_magic(pattern) else "")
