"""One view file: its name, documentation, columns and what it reads."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, get_args

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.errors import SqlsegError
from sqlseg.features.tags import Check, TagError, column_comments, holds_tag, read_header, read_tags

Kind = Literal["statistics", "features", "sequences", "contents"]
KINDS: tuple[Kind, ...] = get_args(Kind)

BASE_RELATIONS = ("events", "users", "items", "holidays")
"""What every view may read besides other views; bound to sqlseg's own relations."""

SINGULAR: dict[Kind, str] = {
    "statistics": "statistics view",
    "features": "feature view",
    "sequences": "sequence view",
    "contents": "content view",
}
_SCHEMA: dict[Kind, str] = {
    "statistics": "stats",
    "features": "features",
    "sequences": "sequences",
    "contents": "contents",
}
_TABLE: dict[Kind, str] = {
    "statistics": "statistic",
    "features": "feature",
    "sequences": "sequence",
    "contents": "content",
}
_GRAIN: dict[Kind, tuple[str, ...]] = {
    "statistics": (),
    "features": ("user_id",),
    "sequences": ("user_id", "position"),
    "contents": ("user_id", "term"),
}
_FILE_NAME = re.compile(r"(?P<name>[a-z][a-z0-9]*(?:_[a-z0-9]+)*)__v(?P<version>[1-9][0-9]{0,8})\.sql")
_COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]*")


class BadFileName(SqlsegError):
    """A file among the views is not named as a view is."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path}: {problem}.",
            hint="Name it <name>__v<version>.sql, as in rfm__v1.sql: lower-case letters, digits, single underscores.",
        )
        self.path = path


class InvalidView(SqlsegError):
    """A view file does not keep to the rules of views; names the line."""

    def __init__(self, path: Path, line: int, problem: str, hint: str | None = None) -> None:
        super().__init__(f"{path}:{line}: {problem}.", hint)
        self.path = path
        self.line = line


@dataclass(frozen=True)
class Column:
    """An output column: what it means, what must hold for it, and the words for users that are high or low on it.

    `default` is the SQL literal for users without a row of the view. `line` is where the column ends in the file.
    """

    name: str
    description: str
    checks: tuple[Check, ...] = ()
    default: str | None = None
    high: str | None = None
    low: str | None = None
    line: int = field(default=1, compare=False)


@dataclass(frozen=True)
class View:
    """One version of a statistics, feature, sequence or content view, as its file has it.

    `grain` is empty for a single row, `depends_on` holds the relations of other views (`stats.item_standing_v1`),
    `reads` those of `BASE_RELATIONS`.
    """

    kind: Kind
    name: str
    version: int
    path: Path = field(compare=False)
    text: str = field(repr=False)
    tree: exp.Query = field(repr=False, compare=False)
    summary: str
    description: str = field(repr=False)
    grain: tuple[str, ...]
    columns: tuple[Column, ...] = field(repr=False)
    depends_on: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def ref(self) -> str:
        """How settings and commands name it: `rfm@1`."""
        return f"{self.name}@{self.version}"

    @property
    def relation(self) -> str:
        """How other views and people read it: `features.rfm_v1`, `stats.shop_scale_v1`; nobody reads the others."""
        return view_relation(self.kind, self.name, self.version)

    @property
    def table(self) -> str:
        """The name of its materialised rows within the schema sqlseg: `feature_rfm_v1`."""
        return f"{_TABLE[self.kind]}_{self.name}_v{self.version}"

    @property
    def values(self) -> tuple[Column, ...]:
        """The columns that say something, so without those of the grain."""
        return tuple(column for column in self.columns if column.name not in self.grain)

    @property
    def holds_texts(self) -> bool:
        """Whether it is a content view of texts, which an encoder reads, rather than of terms."""
        return self.kind == "contents" and "text" in self.grain

    @property
    def holds_images(self) -> bool:
        """Whether it is a content view of the paths of images, which an encoder reads."""
        return self.kind == "contents" and "image" in self.grain

    @cached_property
    def uses_as_of(self) -> bool:
        """Whether it calls as_of() or local_as_of() itself, so that its rows change with the passing of time alone."""
        return bool(sqltext.calls(self.tree, "as_of") or sqltext.calls(self.tree, "local_as_of"))

    @cached_property
    def computed_fingerprint(self) -> str:
        """The hash of what it computes: query, defaults and grain. Comparable within one release of sqlglot."""
        defaults = [f"{column.name.lower()}={column.default}" for column in self.columns if column.default is not None]
        return sqltext.digest(self.kind, sqltext.fingerprint(self.tree), *self.grain, *defaults)

    @cached_property
    def description_fingerprint(self) -> str:
        """The hash of how it is described and checked; a change of it rebuilds nothing."""
        return sqltext.digest(self.summary, self.description, *(repr(column) for column in self.columns))

    def column(self, name: str) -> Column:
        """Return a column by its name."""
        return next(column for column in self.columns if column.name == name)


def view_relation(kind: Kind, name: str, version: int) -> str:
    """Return the relation of a view.

    >>> view_relation("statistics", "shop_scale", 1)
    'stats.shop_scale_v1'
    """
    return f"{_SCHEMA[kind]}.{name}_v{version}"


def parse_file_name(path: Path) -> tuple[str, int]:
    """Return the name and version that a view's file name holds.

    >>> parse_file_name(Path("sql/features/rfm__v1.sql"))
    ('rfm', 1)
    """
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise BadFileName(path, "this is not the file name of a view")
    if re.search(r"_v[0-9]+$", match["name"]):
        raise BadFileName(path, f"the name {match['name']!r} itself ends like a version")
    if path.parent.name == "features" and match["name"].startswith("forecast_"):
        raise BadFileName(path, "names that begin with forecast_ are kept for encoders' forecasts")
    if path.parent.name == "features" and match["name"] == "sentiment_reviews":
        raise BadFileName(path, "the name sentiment_reviews is kept for the mood of reviews")
    return match["name"], int(match["version"])


@lru_cache(maxsize=256)
def parse_view(kind: Kind, path: Path, text: str) -> View:
    """Return the view that a file's text holds; that its relations exist is checked by the registry."""
    name, version = parse_file_name(path)
    tree = sqltext.parse_select(text, path)
    comments = sqltext.comments(text)
    first_code = _first_code_line(text)
    header = read_header([c.text for c in comments if c.line < first_code])
    columns = _columns(kind, path, tree, column_comments([c for c in comments if c.line >= first_code]))
    tables = sqltext.tables_read(tree)
    return View(
        kind=kind,
        name=name,
        version=version,
        path=path,
        text=text,
        tree=tree,
        summary=header.summary,
        description=header.description,
        grain=_grain(kind, path, text, header.grain, columns),
        columns=columns,
        depends_on=tuple(table for table in tables if table not in BASE_RELATIONS),
        reads=tuple(table for table in tables if table in BASE_RELATIONS),
    )


def _columns(kind: Kind, path: Path, tree: exp.Query, comments: dict[int, str]) -> tuple[Column, ...]:
    columns: dict[str, Column] = {}
    last_on_line: dict[int, str] = {}
    for output in sqltext.output_columns(tree):
        if sqltext.is_star(output):
            problem = "`*` leaves open which columns the view has"
            raise InvalidView(path, sqltext.line_of(output), problem, "List the columns of the last SELECT one by one.")
        name = output.output_name.lower()
        if not name:
            problem = f"the column {sqltext.to_sql(output, pretty=False)} has no name"
            raise InvalidView(path, sqltext.line_of(output), problem, "Give it one with AS.")
        named = output.args.get("alias") or output
        line = sqltext.line_of(named)
        if not _COLUMN_NAME.fullmatch(name) or "__" in name:
            hint = "Features go by <view>__<column>: use lower-case letters, digits and single underscores."
            raise InvalidView(path, line, f"{output.output_name!r} is not a name for a column of a view", hint)
        if name in columns:
            raise InvalidView(path, line, f"two columns are named {name!r}", "Rename one of them.")
        columns[name] = Column(name, "", line=line)
        last_on_line[line] = name
    for line, comment in comments.items():
        if line in last_on_line:
            name = last_on_line[line]
            columns[name] = _tagged(kind, path, columns[name], comment)
        elif holds_tag(comment):
            hint = "Tags stand on the line where an output column ends (where its name is)."
            raise InvalidView(path, line, "no column of the last SELECT ends on this line, so its tags are lost", hint)
    for key in _needed(kind, columns):
        if key not in columns:
            problem = f"a {SINGULAR[kind]} needs the column {key}"
            raise InvalidView(
                path, sqltext.line_of(next(iter(sqltext.output_columns(tree)), tree)), problem, f"Select {key}."
            )
    return tuple(columns.values())


def _natural_grain(kind: Kind, columns: Collection[str]) -> tuple[str, ...]:
    if kind == "contents" and "text" in columns:
        return ("user_id", "text")
    if kind == "contents" and "image" in columns and "term" not in columns:
        return ("user_id", "image")
    return _GRAIN[kind]


def _needed(kind: Kind, columns: Collection[str]) -> tuple[str, ...]:
    return (*_natural_grain(kind, columns), "weight") if kind == "contents" else _GRAIN[kind]


def _tagged(kind: Kind, path: Path, column: Column, comment: str) -> Column:
    try:
        tags = read_tags(comment)
    except TagError as error:
        raise InvalidView(path, column.line, f"column {column.name!r}: {error}") from error
    if tags.default is not None and (kind != "features" or column.name == "user_id"):
        hint = "It is for a feature's value where a user has no row."
        raise InvalidView(path, column.line, f"column {column.name!r}: #default has no place here", hint)
    return Column(column.name, tags.description, tags.checks, tags.default, tags.high, tags.low, column.line)


def _grain(kind: Kind, path: Path, text: str, named: str | None, columns: tuple[Column, ...]) -> tuple[str, ...]:
    if named is None and kind == "statistics":
        hint = "Add a line to the comment on top: `-- grain: category`, or `-- grain: one row`."
        raise InvalidView(path, 1, "a statistics view says what one row of it is, and this does not", hint)
    if named is None:
        return _natural_grain(kind, [column.name for column in columns])
    grain = () if named.lower() == "one row" else tuple(part.strip().lower() for part in named.split(","))
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "grain:" in line.lower())
    natural = _natural_grain(kind, [column.name for column in columns])
    if kind != "statistics" and grain != natural:
        expected = ", ".join(natural)
        raise InvalidView(path, line, f"the grain of a {SINGULAR[kind]} is {expected}, not {named}")
    unknown = [key for key in grain if key not in {column.name for column in columns}]
    if unknown:
        hint = "Name columns of the last SELECT, or write `grain: one row`."
        raise InvalidView(path, line, f"the grain names {unknown[0]!r}, which is no column of the view", hint)
    return grain


def _first_code_line(text: str) -> int:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.strip().startswith("--"):
            return number
    return 1
