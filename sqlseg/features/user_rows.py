"""Whose rows a query reads: which columns hold the user_id, and which sources are held to the same user."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from sqlseg import sqltext


@dataclass(frozen=True)
class Problem:
    """What breaks a rule on a line of a view, and what to write instead."""

    line: int
    message: str
    instead: str


@dataclass(frozen=True)
class Rows:
    """The rows of a query or relation: whose they are, and which of their columns hold the user_id.

    `of_users` tells rows of single users from shop-wide ones. `pinned` names the sources of an enclosing query whose
    user these rows belong to, where the query is correlated. `outputs` lists (name, holds the user_id) in order, or is
    None where a star leaves the order open.
    """

    of_users: bool
    keys: frozenset[str] = frozenset()
    pinned: frozenset[int] = frozenset()
    outputs: tuple[tuple[str, bool], ...] | None = None


SHOP_WIDE = Rows(of_users=False)
USERS = Rows(of_users=True, keys=frozenset({"user_id"}))


@dataclass
class Source:
    """One relation in a FROM, as the rest of its query sees it."""

    name: str
    rows: Rows
    node: exp.Expr
    number: int
    visible: bool = True


@dataclass
class Scope:
    """A SELECT while it is followed: its sources, those of the queries around it, and who belongs with whom."""

    select: exp.Expr
    ctes: Mapping[str, Rows]
    outer: Sequence[Source]
    sources: list[Source] = field(default_factory=list)
    together: dict[int, int] = field(default_factory=dict)

    def group(self, number: int) -> int:
        """Return the group of sources held to the same user that a source is in."""
        while self.together.get(number, number) != number:
            number = self.together[number]
        return number

    def join(self, a: int, b: int) -> None:
        """Note that two sources are held to the same user."""
        self.together[self.group(a)] = self.group(b)

    @property
    def of_users(self) -> list[Source]:
        """The sources whose rows belong to single users."""
        return [source for source in self.sources if source.rows.of_users]

    @property
    def pinned(self) -> frozenset[int]:
        """The outer sources that the rows of this query share the user with."""
        own = {self.group(source.number) for source in self.of_users}
        return frozenset(o.number for o in self.outer if o.rows.of_users and self.group(o.number) in own)


def outputs_of(scope: Scope) -> list[tuple[str, bool]]:
    """Return the columns that a SELECT is known to have, each with whether it holds the user_id."""
    outputs: list[tuple[str, bool]] = []
    for column in scope.select.expressions:
        bare = column.this if isinstance(column, exp.Column) else column
        if isinstance(bare, exp.Star):
            outputs += _star_keys(scope, bare, column.table.lower() if isinstance(column, exp.Column) else "")
        else:
            outputs.append((column.output_name.lower(), _is_key(scope, column.unalias())))
    return outputs


def _is_key(scope: Scope, expression: exp.Expr) -> bool:
    group = scope.select.args.get("group")
    expression = expression.this if isinstance(expression, exp.IgnoreNulls) else expression
    if isinstance(expression, exp.AnyValue | exp.Min | exp.Max | exp.First):  # of one value, within a group of one user
        return bool(group and key_sources(scope, expression.this) and groups_by_user(scope, group))
    return bool(key_sources(scope, expression))


def _star_keys(scope: Scope, star: exp.Star, table: str) -> Iterator[tuple[str, bool]]:
    left_out = {column.name.lower() for column in star.args.get("except_") or []}
    renamed = {a.this.name.lower(): a.alias.lower() for a in star.args.get("rename") or []}
    replaced = {a.alias.lower(): a.this for a in star.args.get("replace") or []}
    for source in scope.sources:
        if source.visible and table in ("", source.name):
            for key in sorted(source.rows.keys - left_out):
                if key not in replaced or key_sources(scope, replaced[key]):
                    yield renamed.get(key, key), True


def key_sources(scope: Scope, expression: exp.Expr, aliases: bool = False) -> list[Source]:
    """Return the sources whose user_id an expression is; none if it is anything else.

    With `aliases`, a name that no source has may be that of an output column, as in GROUP BY.
    """
    expression = expression.unnest()
    if isinstance(expression, exp.Cast) and expression.to.this in exp.DataType.TEXT_TYPES:
        return key_sources(scope, expression.this, aliases)
    if isinstance(expression, exp.Coalesce | exp.Case):
        if isinstance(expression, exp.Coalesce):
            branches = [expression.this, *expression.expressions]
        else:
            branches = [branch.args["true"] for branch in expression.args["ifs"]]
            branches += [expression.args["default"]] if expression.args.get("default") else []
        parts = [key_sources(scope, branch, aliases) for branch in branches]
        return [source for part in parts for source in part] if all(parts) else []
    if not isinstance(expression, exp.Column) or isinstance(expression.this, exp.Star):
        return []
    name, table = expression.name.lower(), expression.table.lower()
    own = [source for source in scope.sources if table in ("", source.name)]
    found = [source for source in own if name in source.rows.keys]
    if found or (own and table) or any(name == other for s in own for other, _ in s.rows.outputs or ()):
        return found
    if aliases and not table:
        for item in scope.select.expressions:
            if isinstance(item, exp.Alias) and item.alias.lower() == name:
                return key_sources(scope, item.this)
    around = [source for source in scope.outer if table in ("", source.name)]
    return [source for source in around if name in source.rows.keys]


def any_key(scope: Scope, expressions: Iterable[exp.Expr], aliases: bool = False) -> bool:
    """Return whether one of several expressions is the user_id."""
    return any(key_sources(scope, expression, aliases) for expression in expressions)


def groups_by_user(scope: Scope, group: exp.Expr) -> bool:
    """Return whether every group of a GROUP BY lies within one user."""
    selected = scope.select.expressions
    if group.args.get("all"):
        return any(key_sources(scope, column.unalias()) or sqltext.is_star(column) for column in selected)
    sets: list[exp.Expr] = []
    for key in group.expressions:
        if isinstance(key, exp.Literal) and not key.is_string:
            place = int(key.name) - 1
            key = selected[place].unalias() if 0 <= place < len(selected) else key
        if isinstance(key, exp.GroupingSets):
            sets += key.expressions
        elif isinstance(key, exp.Tuple):
            if any_key(scope, key.expressions, aliases=True):
                return True
        elif key_sources(scope, key, aliases=True):
            return True
    return bool(sets) and all(
        any_key(scope, s.expressions if isinstance(s, exp.Tuple) else [s], aliases=True) for s in sets
    )


def nested_queries(expression: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the outermost queries within an expression."""
    stack = [expression]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Query):
            yield node
        else:
            stack.extend(node.iter_expressions())


def own_windows(select: exp.Expr) -> Iterator[exp.Window]:
    """Yield the windows that belong to a SELECT itself, not to a query within it."""
    stack = list(select.iter_expressions())
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Window):
            yield node
        if not isinstance(node, exp.Query | exp.With):
            stack.extend(node.iter_expressions())


def aggregates(column: exp.Expr) -> bool:
    """Return whether a column aggregates rows, other than over a window."""
    return any(not isinstance(found.parent, exp.Window) for found in column.find_all(exp.AggFunc))


def compares_users(scope: Scope, query: exp.Expr, rows: Rows) -> bool:
    """Return whether a subquery stands in `user_id IN (SELECT user_id ...)`, so that it is read for each user alone."""
    parent = query.parent
    if isinstance(parent, exp.In) and parent.args.get("query") is query:
        left = parent.this
    elif (isinstance(parent, exp.Any) and isinstance(parent.parent, exp.EQ)) or (
        isinstance(parent, exp.All) and isinstance(parent.parent, exp.NEQ)
    ):
        left = parent.parent.this
    else:
        return False
    left = left.unnest()
    parts = left.expressions if isinstance(left, exp.Tuple) else [left]
    if rows.outputs is None:
        return len(parts) == 1 and bool(rows.keys) and any_key(scope, parts)
    return any(is_key and key_sources(scope, part) for part, (_, is_key) in zip(parts, rows.outputs, strict=False))


def common_keys(left: Rows, right: Rows, by_name: bool) -> frozenset[str]:
    """Return the columns of a set operation that hold the user_id on both sides."""
    if by_name or left.outputs is None or right.outputs is None:
        return left.keys & right.keys
    pairs = zip(left.outputs, right.outputs, strict=False)
    return frozenset(name for (name, is_key), (_, also) in pairs if is_key and also)


def renamed(rows: Rows, names: Sequence[str]) -> Rows:
    """Return rows under the column names of an alias: `as t(a, b)`."""
    if not names or rows.outputs is None:
        return rows
    kept = [name for name, _ in rows.outputs][len(names) :]
    outputs = tuple((new, is_key) for new, (_, is_key) in zip([*names, *kept], rows.outputs, strict=False))
    return Rows(rows.of_users, frozenset(name for name, is_key in outputs if is_key), rows.pinned, outputs)
