"""What of a view stands still while time passes: steady parts that are kept, and the rest that asks for as_of.

A view that calls as_of() has to be computed for all users on every new day. Most of its work has nothing to do with the
day: grouping the events of a user, by order, by item or whole. Such a SELECT is steady: as long as a user has the same
events, it gives the same rows. Where all that a view reads of the events goes through steady groupings, these are kept
as tables, and the day's rows are computed from them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.features.view import View

_LAST = ""
_ADDED = "steady_"
"""What columns begin with that the grouping half of a SELECT has besides those of the SELECT."""

_WRAPPED = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)


@dataclass(frozen=True)
class Part:
    """A steady SELECT over the events, grouped within users, with a column user_id.

    `name` is how the rest of the view reads it, `table` what keeps it, within the schema sqlseg: another SELECT has
    another table.
    """

    name: str
    table: str
    tree: exp.Query


@dataclass(frozen=True)
class Split:
    """A view as its steady parts, and as one of the same columns that reads these by their names."""

    parts: tuple[Part, ...]
    rest: View


@lru_cache(maxsize=256)
def split(view: View) -> Split | None:
    """Return a view as steady parts and the rest; None where it asks for no as_of, or not in such a way."""
    found = split_query(view.tree) if view.uses_as_of else None
    if found is None:
        return None
    prefix = f"part_{view.name}_v{view.version}"
    parts = [
        Part(name, f"{prefix}_{sqltext.digest(name, sqltext.fingerprint(tree))[:8]}", tree)
        for name, tree in found[0].items()
    ]
    names = (*view.depends_on, *found[0])
    rest = replace(view, tree=found[1], text=sqltext.to_sql(found[1]), depends_on=tuple(dict.fromkeys(names)))
    return Split(tuple(parts), rest)


def split_query(tree: exp.Query) -> tuple[dict[str, exp.Query], exp.Query] | None:
    """Return steady parts of a query by the name under which the rest reads them, and the rest; or None.

    A SELECT that groups events and speaks of as_of only beside its aggregates becomes two:

    >>> parts, rest = split_query(sqltext.parse_select(
    ...     "select user_id, date_diff('day', max(local_time), local_as_of()) as age from events group by user_id"
    ... ))
    >>> {name: sqltext.to_sql(part, pretty=False) for name, part in parts.items()}
    {'steady_rows': 'SELECT user_id, MAX(local_time) AS steady_2 FROM events GROUP BY user_id'}
    >>> sqltext.to_sql(rest, pretty=False)
    "SELECT user_id, DATE_DIFF('DAY', steady_2, LOCAL_AS_OF()) AS age FROM steady_rows"
    """
    queries = _queries(tree)
    if queries is None:
        return None
    steady: dict[str, exp.Query] = {}
    others: dict[str, exp.Query] = {}
    for name, query in queries.items():
        tables = _tables(query)
        halves = _halves(query, f"steady_{name or 'rows'}") if tables <= {"events", *steady} else None
        if tables <= {"events", *steady} and not _moments(query):
            steady[name] = query
        elif halves is not None and f"steady_{name or 'rows'}" not in queries:
            steady[f"steady_{name or 'rows'}"], others[name] = halves
        else:
            others[name] = query
    read = set().union(*map(_tables, others.values()))
    kept = {name: query for name, query in steady.items() if name in read}
    if "events" in read or _LAST not in others or not kept or not all(map(_groups_users, kept.values())):
        return None
    if any(map(_renames_users, steady.values())):
        return None
    last = others.pop(_LAST)
    parts = {name: _with(query, _behind(query, steady)) for name, query in kept.items()}
    return parts, _with(last, others)


def _queries(tree: exp.Query) -> dict[str, exp.Query] | None:
    """Return the queries of a WITH by their names, and last, under no name, what reads them.

    None where a name stands for two relations, or a query has a WITH of its own.
    """
    tree = tree.copy()
    with_ = tree.args.get("with_")
    ctes = [] if with_ is None else with_.expressions
    if with_ is not None:
        if with_.args.get("recursive"):
            return None
        tree.set("with_", None)
    found: dict[str, exp.Query] = {}
    read = set[str]()
    for cte in ctes:
        name = cte.alias.lower()
        read |= _tables(cte.this)
        if name in found or name in read or cte.args["alias"].args.get("columns"):
            return None
        found[name] = cte.this
    found[_LAST] = tree
    nested = any(query.find(exp.With) is not None for query in found.values())
    return None if nested or not all(isinstance(query, exp.Query) for query in found.values()) else found


def _tables(query: exp.Expr) -> set[str]:
    return set(sqltext.tables_read(query))


def _moments(node: exp.Expr) -> list[exp.Expr]:
    """Return the calls that ask for the moment of which all is told."""
    return [*sqltext.calls(node, "as_of"), *sqltext.calls(node, "local_as_of")]


def _groups_users(query: exp.Query) -> bool:
    """Whether a query gives rows of grouped events, which name their user in user_id."""
    if isinstance(query, exp.SetOperation):
        branches = [query.this, query.expression]
        return all(map(_groups_users, branches)) and len({_names(branch).index("user_id") for branch in branches}) == 1
    return isinstance(query, exp.Select) and query.args.get("group") is not None and "user_id" in _names(query)


def _names(query: exp.Query) -> list[str]:
    return [column.output_name.lower() for column in sqltext.output_columns(query)]


def _renames_users(query: exp.Query) -> bool:
    """Whether something else than a user_id is called user_id."""
    named = [alias for alias in query.find_all(exp.Alias) if alias.alias.lower() == "user_id"]
    return any(not isinstance(one.this, exp.Column) or one.this.name.lower() != "user_id" for one in named)


def _behind(query: exp.Query, queries: Mapping[str, exp.Query]) -> dict[str, exp.Query]:
    """Return those of some queries that a query reads, itself or through others, in their order."""
    wanted, looked_at = _tables(query), set[str]()
    while new := (wanted & set(queries)) - looked_at:
        looked_at |= new
        wanted |= set().union(*(_tables(queries[name]) for name in new))
    return {name: one for name, one in queries.items() if name in wanted}


def _with(query: exp.Query, queries: Mapping[str, exp.Query]) -> exp.Query:
    whole = query.copy()
    for name, one in queries.items():
        whole = whole.with_(exp.to_identifier(name), as_=one.copy(), copy=False)
    return whole


def _halves(query: exp.Query, name: str) -> tuple[exp.Query, exp.Query] | None:
    """Return a grouped SELECT as one that groups, without as_of, and one that reads that under a name; or None.

    The first has the columns of the SELECT that do not ask for as_of, and what the others are made of: aggregates and
    what is grouped by. Where a column of these has anything else in it, or anything else refers to one of them, the
    SELECT is left as it is.
    """
    keys = _keys(query)
    if keys is None:
        return None
    dated = [column for column in query.expressions if _moments(column)]
    elsewhere = [part for key, value in query.args.items() if key != "expressions" for part in _nodes(value)]
    if any(_moments(part) for part in elsewhere) or any(not isinstance(column, exp.Alias) for column in dated):
        return None
    names = {column.alias.lower() for column in dated}
    if any(column.name.lower() in names and not column.table for column in query.find_all(exp.Column)):
        return None
    inner = [column for column in query.expressions if column not in dated]
    if any(sqltext.is_star(one) or not one.output_name or one.output_name.startswith(_ADDED) for one in inner):
        return None
    there = {column.unalias(): column.output_name for column in inner}
    outer: list[exp.Expr] = []
    for column in query.expressions:
        if column not in dated:
            outer.append(_column(column.output_name))
        elif (made := _from_groups(column.this, keys, there)) is not None:
            outer.append(exp.alias_(made, column.args["alias"].copy()))
        else:
            return None
    grouped = query.copy()
    added = [exp.alias_(made.copy(), name) for made, name in there.items() if name.startswith(_ADDED)]
    grouped.set("expressions", [*(column.copy() for column in inner), *added])
    return grouped, exp.Select(expressions=outer).from_(exp.to_table(name), copy=False)


def _keys(query: exp.Query) -> list[exp.Expr] | None:
    """Return what a plain grouped SELECT groups by; None for any other query."""
    group = query.args.get("group")
    if not isinstance(query, exp.Select) or group is None:
        return None
    plain = {"expressions", "from_", "joins", "where", "group", "having"}
    if any(value for key, value in query.args.items() if key not in plain):
        return None
    sets = exp.GroupingSets | exp.Cube | exp.Rollup | exp.Tuple
    if any(value for key, value in group.args.items() if key != "expressions"):
        return None
    if any(isinstance(key, sets) for key in group.expressions):
        return None
    if query.find(exp.Window) is not None or any(column.find(exp.Query) for column in query.expressions):
        return None
    columns, keys = query.expressions, []
    for key in group.expressions:
        if isinstance(key, exp.Literal) and not key.is_string and 0 < int(key.name) <= len(columns):
            key = columns[int(key.name) - 1].unalias()
        if any(
            isinstance(one, exp.Alias) and one.alias.lower() == key.name.lower() != "" and one.this != key
            for one in columns
        ):
            return None  # the name of a column of the SELECT, or of what it reads
        keys.append(key)
    return keys


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name))


def _from_groups(expression: exp.Expr, keys: Sequence[exp.Expr], there: dict[exp.Expr, str]) -> exp.Expr | None:
    """Return an expression over columns of the grouping half, or None; what these lack is added to them."""
    unclear = False

    def replaced(node: exp.Expr) -> exp.Expr:
        nonlocal unclear
        aggregate = isinstance(node, exp.AggFunc) or (isinstance(node, _WRAPPED) and isinstance(node.this, exp.AggFunc))
        if aggregate or node in keys:
            unclear = unclear or bool(_moments(node))
            return _column(there.setdefault(node.copy(), f"{_ADDED}{len(there) + 1}"))
        # Another function could be an aggregate that sqlglot does not know.
        unclear = unclear or isinstance(node, exp.Column) or (isinstance(node, exp.Anonymous) and not _moments(node))
        for child in list(node.iter_expressions()):
            new = replaced(child)
            if new is not child:
                child.replace(new)
        return node

    made = replaced(expression.copy())
    return None if unclear else made


def _nodes(value: object) -> Iterator[exp.Expr]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, exp.Expr):
            yield one
