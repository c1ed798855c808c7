"""Keeps out of the published file what `[privacy] tables` and `columns` do not name."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.names import PRIVACY, RUN, Relation
from sqlseg.publish.snapshot import PublishedRelation

ALWAYS = (RUN, PRIVACY)
"""What every published file holds: which refresh it is of, and what was done to it."""

_OF_FEATURES = ("profile", "user_reason", "drift", "input")
"""Tables of the schema segments whose rows each speak of a feature."""


@dataclass(frozen=True)
class AllowList:
    """Patterns of what is published: tables as `segments.segment`, feature columns as `rfm__spend`; None for all.

    >>> allowed = AllowList(tables=("segments.*",), columns=("rfm__*",))
    >>> allowed.table(Relation("features", "rfm")), allowed.column("rfm__spend"), allowed.column("price__mean")
    (False, True, False)
    """

    tables: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None

    def table(self, relation: Relation) -> bool:
        """Return whether a table or view is published."""
        return self.tables is None or relation in ALWAYS or matches(str(relation), self.tables)

    def column(self, feature: str) -> bool:
        """Return whether a feature is published, by its name `<view>__<column>`."""
        return self.columns is None or matches(feature, self.columns)


EVERYTHING = AllowList()


def matches(name: str, patterns: Collection[str]) -> bool:
    """Return whether a name is one of some patterns, in which * and ? stand for any letters and for one."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def view_name(table: str) -> str:
    """Return the name of a feature view without its version: what stands before the __ of its features.

    >>> view_name("forecast_behavior_v2")
    'forecast_behavior'
    """
    return re.sub(r"_v\d+$", "", table)


def feature_columns(engine: Engine, relation: PublishedRelation) -> dict[str, str]:
    """Return the features among the columns of a table: the column, and the feature's name."""
    if relation.kind == "view":
        return {}
    columns = [name for name in engine.describe(f"select * from {relation.source}") if name != "user_id"]
    if relation.target.schema == "features":
        return {name: f"{view_name(relation.target.name)}__{name}" for name in columns}
    if relation.target.schema == "segments" and relation.target.name.endswith("_users"):
        return {name: name for name in columns if "__" in name}
    return {}


def allowed_relations(
    engine: Engine, relations: Sequence[PublishedRelation], allow: AllowList
) -> list[PublishedRelation]:
    """Return what may be published of some relations: fewer of them, with fewer columns and rows.

    A feature table without a column left goes, and so does a view that reads a table or column that is not there.
    Texts that could tell of a withheld feature, such as descriptions with means in them, are NULL.
    """
    features = {relation.target: feature_columns(engine, relation) for relation in relations}
    withheld = {
        target: frozenset(column for column, feature in columns.items() if not allow.column(feature))
        for target, columns in features.items()
    }
    gone = {
        relation.target
        for relation in relations
        if not allow.table(relation.target)
        or (
            relation.target.schema == "features"
            and features[relation.target]
            and not set(features[relation.target]) - withheld[relation.target]
        )
    }
    names = {
        feature
        for target, columns in features.items()
        for column, feature in columns.items()
        if column in withheld[target]
    }
    hidden = frozenset(names | {feature.partition("__")[2] for feature in names})
    kept = []
    for relation in relations:
        if relation.target in gone:
            continue
        if relation.kind == "view":
            kept += _with_what_it_reads(relation, gone, withheld)
            continue
        if withheld[relation.target]:
            columns = ", ".join(map(quoted, sorted(withheld[relation.target])))
            relation = replace(relation, source=f"(select * exclude ({columns}) from {relation.source})")
        if names and relation.target.schema == "segments":
            relation = _without_features(relation, allow.columns or (), hidden)
        if relation.target == Relation("segments", "segment") and (gone or hidden):
            relation = _without_rules(relation, gone, hidden)
        kept.append(relation)
    return kept


def _with_what_it_reads(
    view: PublishedRelation, gone: Collection[Relation], withheld: Mapping[Relation, frozenset[str]]
) -> list[PublishedRelation]:
    """Return a view where all that it reads is published, with the columns that are left of it."""
    tree = sqltext.parse_select(f"select * from {view.source}")
    read = {sqltext.table_name(table) for table in sqltext.base_tables(tree)}
    named = {column.name for column in tree.find_all(exp.Column)}
    lost = {column for target, columns in withheld.items() if str(target) in read for column in columns}
    if named & lost or any(str(one) in read for one in gone):
        return []
    told = {name: text for name, text in view.column_comments.items() if name not in lost}
    return [replace(view, column_comments=told)]


def _without_features(
    relation: PublishedRelation, patterns: Sequence[str], hidden: Collection[str]
) -> PublishedRelation:
    """Leave out the rows of features that are withheld, and what other texts could tell of them."""
    source = relation.source
    match relation.target.name:
        case name if name in _OF_FEATURES:
            named = " or ".join(f"split_part(feature, '=', 1) glob '{pattern}'" for pattern in patterns)
            source = f"(select * from {source} where not contains(feature, '__') or {named})"
        case "segment":
            source = f"(select * replace (null::varchar as description) from {source})"
        case "rule":
            names = _either(hidden)
            source = (
                f"(select * replace (case when not regexp_matches(condition, '{names}') then condition end as "
                f"condition) from {source})"
            )
        case "model" | "forecast_model":
            source = f"(select * replace (null::varchar as parameters) from {source})"
    return replace(relation, source=source)


def _without_rules(
    relation: PublishedRelation, gone: Collection[Relation], hidden: Collection[str]
) -> PublishedRelation:
    """Take the rules away that read what is not there."""
    names = _either([*(one.name for one in gone), *hidden])
    return replace(
        relation,
        source=f"(select * replace (case when not regexp_matches(rule_sql, '{names}', 'i') then rule_sql end as "
        f"rule_sql) from {relation.source})",
    )


def _either(names: Collection[str]) -> str:
    """Return a regular expression, for use in SQL, that finds any of some names as a word of its own."""
    return r"\b(" + "|".join(re.escape(name) for name in sorted(names)).replace("'", "''") + r")\b"
