"""Tells what a view and each of its columns are computed from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage

from sqlseg import sqltext
from sqlseg.features.registry import Registry
from sqlseg.features.view import View
from sqlseg.names import EVENT_COLUMNS

_KNOWN = {
    "events": (*(column.name for column in EVENT_COLUMNS), "local_time"),
    "holidays": ("date", "name"),
}


@dataclass(frozen=True)
class ViewLineage:
    """What a view is computed from: relations directly and through other views, and columns by output column.

    The columns are those that an output's expression is made of, such as `events.price`; conditions that only choose
    rows are not among them. `columns` is None where they cannot be told for certain.
    """

    relation: str
    reads: tuple[str, ...]
    upstream: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] | None


def view_lineage(
    registry: Registry, view: View, attributes: Mapping[str, Collection[str]] | None = None
) -> ViewLineage:
    """Return the lineage of a view; `attributes` are the columns of the project's `users` and `items`, where known."""
    upstream = {name for part in registry.closure([view]) for name in (*part.reads, *part.depends_on)}
    return ViewLineage(
        relation=view.relation,
        reads=tuple(sorted({*view.reads, *view.depends_on})),
        upstream=tuple(sorted(upstream)),
        columns=_columns(registry, view, attributes or {}),
    )


def _columns(
    registry: Registry, view: View, attributes: Mapping[str, Collection[str]]
) -> dict[str, tuple[str, ...]] | None:
    tree = view.tree.copy()
    schema: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    for table in list(sqltext.base_tables(tree)):
        name = sqltext.table_name(table)
        known = _KNOWN.get(name) or attributes.get(name)
        if known is None and "." in name:
            known = [column.name for column in registry.by_relation(name).columns]
        if known is None:
            return None
        flat = name.replace(".", "__")  # sqlglot wants all tables of a schema equally deep
        names[flat] = name
        schema[flat] = dict.fromkeys(known, "VARCHAR")
        if not table.args.get("alias"):
            table.set("alias", exp.TableAlias(this=table.this.copy()))
        table.set("this", exp.to_identifier(flat))
        table.set("db", None)
    columns = {}
    for column in view.columns:
        try:
            root = lineage(column.name, tree, schema=schema, dialect=sqltext.DIALECT)
        except (SqlglotError, ValueError, KeyError):
            return None
        leaves = [node for node in root.walk() if isinstance(node.source, exp.Table)]
        columns[column.name] = tuple(
            sorted(
                {f"{names.get(leaf.source.name, leaf.source.name)}.{leaf.name.rpartition('.')[2]}" for leaf in leaves}
            )
        )
    return columns
