"""Follows user_id through a query: from what belongs to users, through every scope, to the result."""

from collections.abc import Mapping, Sequence
from itertools import count

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.features.user_rows import (
    SHOP_WIDE,
    USERS,
    Problem,
    Rows,
    Scope,
    Source,
    aggregates,
    any_key,
    common_keys,
    compares_users,
    groups_by_user,
    key_sources,
    nested_queries,
    outputs_of,
    own_windows,
    renamed,
)

_OF_USERS = ("events", "users")
_STATISTICS_HINT = "What looks across users belongs in sql/statistics, read as stats.<name>_v<k>."


class UserScopes:
    """Follows user_id through the scopes of one view and collects what loses it or mixes users."""

    def __init__(self) -> None:
        self._numbers = count()
        self._found: list[Problem] = []

    def problems(self, tree: exp.Query) -> list[Problem]:
        """Return what keeps a view's result from being made of each user's own rows."""
        rows = self._query(tree, {}, (), nested=False)
        if not self._found and "user_id" not in rows.keys:
            output = next((o for o in sqltext.output_columns(tree) if o.output_name.lower() == "user_id"), tree)
            message = "the column user_id of the result is not the user_id of events, users or a feature view"
            self._add(output, message, "Carry user_id through to the last SELECT as it is.")
        return self._found

    def _add(self, node: exp.Expr, message: str, instead: str) -> None:
        self._found.append(Problem(sqltext.line_of(node), message, instead))

    # --- queries ---------------------------------------------------------------------------------------------------

    def _query(self, query: exp.Expr, ctes: Mapping[str, Rows], outer: Sequence[Source], nested: bool) -> Rows:
        ctes = self._with(query, ctes, outer)
        if isinstance(query, exp.Subquery):
            return self._query(query.this, ctes, outer, nested)
        if isinstance(query, exp.SetOperation):
            return self._set_operation(query, ctes, outer, nested)
        if isinstance(query, exp.Select):
            return self._select(query, ctes, outer, nested)
        return SHOP_WIDE

    def _with(self, query: exp.Expr, ctes: Mapping[str, Rows], outer: Sequence[Source]) -> Mapping[str, Rows]:
        with_ = query.args.get("with_")
        if with_ is None:
            return ctes
        known = dict(ctes)
        for cte in with_.expressions:
            names = [column.name.lower() for column in cte.args["alias"].columns]
            name = cte.alias.lower()
            if with_.args.get("recursive") and isinstance(cte.this, exp.SetOperation):
                known[name] = renamed(self._query(cte.this.this, known, outer, nested=False), names)
            known[name] = renamed(self._query(cte.this, known, outer, nested=False), names)
        return known

    def _set_operation(
        self, query: exp.SetOperation, ctes: Mapping[str, Rows], outer: Sequence[Source], nested: bool
    ) -> Rows:
        left = self._query(query.this, ctes, outer, nested)
        right = self._query(query.expression, ctes, outer, nested)
        if not any(rows.of_users and not rows.pinned for rows in (left, right)):
            pinned = left.pinned | right.pinned
            return Rows(bool(pinned), pinned=pinned, outputs=left.outputs)
        if not right.of_users and not isinstance(query, exp.Union):
            return left
        keys = common_keys(left, right, by_name=bool(query.args.get("by_name")))
        if not keys and left.keys | right.keys:
            message = f"one side of {query.key.upper()} has no user_id where the other has it"
            self._add(query.expression, message, "Select user_id in the same place on both sides.")
            keys = left.keys | right.keys
        outputs = None if left.outputs is None else tuple((name, name in keys) for name, _ in left.outputs)
        return Rows(True, keys, outputs=outputs)

    def _select(self, select: exp.Select, ctes: Mapping[str, Rows], outer: Sequence[Source], nested: bool) -> Rows:
        before = len(self._found)
        scope = Scope(select, ctes, outer)
        anchors = [source.number for source in outer if source.rows.of_users]
        for anchor in anchors[1:]:
            scope.join(anchor, anchors[0])
        if select.args.get("from_") is not None:
            self._from(scope, select.args["from_"].this, select.args.get("joins") or [])
        for lateral in select.args.get("laterals") or []:
            self._add_sources(scope, lateral)
        where = select.args.get("where")
        if where is not None:
            self._equate(scope, where.this, None)
        self._check_connected(scope)
        self._check_nested(scope)
        pinned = scope.pinned
        outputs = outputs_of(scope)
        keys = frozenset(name for name, is_key in outputs if is_key)
        if scope.of_users and not pinned:
            self._check_groups(scope)
            if not keys and not nested:
                if len(self._found) == before:
                    self._add_lost(scope)
                return SHOP_WIDE  # told once is enough
        known = None if any(sqltext.is_star(column) for column in select.expressions) else tuple(outputs)
        return Rows(bool(scope.of_users), keys, pinned, known)

    def _add_lost(self, scope: Scope) -> None:
        select = scope.select
        at = select.expressions[0] if select.expressions else select
        if any(aggregates(column) for column in select.expressions) and select.args.get("group") is None:
            self._add(at, "this aggregates over all users", f"Add user_id and GROUP BY user_id. {_STATISTICS_HINT}")
        else:
            self._add(at, "user_id is lost here", f"Select user_id too. {_STATISTICS_HINT}")

    # --- FROM ------------------------------------------------------------------------------------------------------

    def _from(self, scope: Scope, first: exp.Expr, joins: Sequence[exp.Join]) -> None:
        self._add_sources(scope, first)
        for join in joins:
            self._join(scope, join)

    def _join(self, scope: Scope, join: exp.Join) -> None:
        before = list(scope.sources)
        added = self._add_sources(scope, join.this)
        side, kind, method = (str(join.args.get(part) or "").upper() for part in ("side", "kind", "method"))
        using = [column.name.lower() for column in join.args.get("using") or []]
        if method == "ASOF":
            using = using[:-1]  # the last one is the inequality
        elif method == "NATURAL":
            using = sorted({key for source in added for key in source.rows.keys})
        elif method == "POSITIONAL":
            self._add(join, "a positional join depends on the order of rows", "Join on user_id.")
        for name in using:
            left = [source for source in before if name in source.rows.keys]
            right = [source for source in added if name in source.rows.keys]
            if left and right:
                scope.join(left[0].number, right[0].number)
        filters = not side and kind not in ("SEMI", "ANTI")
        if join.args.get("on") is not None:
            self._equate(scope, join.args["on"], None if filters else added)
        self._check_preserved(scope, join, before, added, side)
        if kind in ("SEMI", "ANTI"):
            for source in added:
                source.visible = False

    def _check_preserved(
        self, scope: Scope, join: exp.Join, before: Sequence[Source], added: Sequence[Source], side: str
    ) -> None:
        """Shop-wide rows that an outer join keeps would depend on whether any user at all matches them."""
        users_before = any(source.rows.of_users for source in before)
        users_added = any(source.rows.of_users for source in added)
        kept = {"LEFT": not users_before and users_added, "RIGHT": users_before and not users_added}
        if kept.get(side, False) or (side == "FULL" and users_before != users_added):
            outer = {scope.group(source.number) for source in scope.outer if source.rows.of_users}
            if not any(scope.group(source.number) in outer for source in scope.of_users):
                message = f"this {side} JOIN keeps shop-wide rows that belong to no user"
                self._add(join, message, "Begin with what belongs to users and LEFT JOIN the shop-wide table.")

    def _add_sources(self, scope: Scope, node: exp.Expr) -> list[Source]:
        first = len(scope.sources)
        alias = node.alias.lower()
        columns = [column.name.lower() for column in node.args["alias"].columns] if node.args.get("alias") else []
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):  # joins in parentheses
            self._from(scope, node.this, [])
            for source in scope.sources[first:]:
                source.name = alias or source.name
        elif isinstance(node, exp.Pivot):
            self._add_sources(scope, node.this)
        else:
            rows = renamed(self._source_rows(scope, node), columns)
            source = Source(alias or node.name.lower(), rows, node, next(self._numbers))
            scope.sources.append(source)
            for number in rows.pinned:
                scope.join(source.number, number)
        for join in node.args.get("joins") or []:
            self._join(scope, join)
        pivots = [node] if isinstance(node, exp.Pivot) else node.args.get("pivots") or []
        added = scope.sources[first:]
        if any(not pivot.args.get("unpivot") for pivot in pivots) and any(source.rows.of_users for source in added):
            message = "PIVOT groups by whatever columns are left"
            self._add(node, message, "Write sum(...) filter (where ...) for each column, with GROUP BY user_id.")
        return added

    def _source_rows(self, scope: Scope, node: exp.Expr) -> Rows:
        around = [*scope.outer, *scope.sources]
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            name = sqltext.table_name(node)
            if name in scope.ctes:
                return scope.ctes[name]
            return USERS if name in _OF_USERS or name.startswith("features.") else SHOP_WIDE
        if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            return self._query(node.this, scope.ctes, around, nested=False)
        if isinstance(node, exp.Subquery):
            return self._query(node, scope.ctes, around, nested=False)
        self._check_expression(scope, node, around)
        return SHOP_WIDE

    # --- who belongs with whom -------------------------------------------------------------------------------------

    def _equate(self, scope: Scope, condition: exp.Expr, about: Sequence[Source] | None) -> None:
        """Note which sources a condition holds to the same user; only pairs with one of `about`, if given."""
        condition = condition.unnest()
        if isinstance(condition, exp.And):
            self._equate(scope, condition.this, about)
            self._equate(scope, condition.expression, about)
        elif isinstance(condition, exp.EQ | exp.NullSafeEQ):
            left = key_sources(scope, condition.this)
            right = key_sources(scope, condition.expression)
            numbers = {source.number for source in about} if about is not None else None
            if left and right and (numbers is None or numbers & {left[0].number, right[0].number}):
                scope.join(left[0].number, right[0].number)

    def _check_connected(self, scope: Scope) -> None:
        users = scope.of_users
        for source in users[1:]:
            if scope.group(source.number) != scope.group(users[0].number):
                first, second = (s.name or "the subquery" for s in (users[0], source))
                message = f"{second} is joined to {first} without equating user_id, so users are mixed"
                instead = f"Add {first}.user_id = {second}.user_id, or USING (user_id). {_STATISTICS_HINT}"
                self._add(source.node, message, instead)
                scope.join(source.number, users[0].number)

    def _check_nested(self, scope: Scope) -> None:
        around = [*scope.outer, *scope.sources]
        for key, part in scope.select.args.items():
            if key in ("with_", "from_"):
                continue
            for node in part if isinstance(part, list) else [part]:
                if isinstance(node, exp.Join):
                    node = node.args.get("on")
                if isinstance(node, exp.Expr):
                    self._check_expression(scope, node, around)

    def _check_expression(self, scope: Scope, expression: exp.Expr, around: Sequence[Source]) -> None:
        for query in nested_queries(expression):
            before = len(self._found)
            rows = self._query(query, scope.ctes, around, nested=True)
            if not rows.of_users or rows.pinned or len(self._found) > before or compares_users(scope, query, rows):
                continue
            message = "this subquery reads the rows of all users for each row"
            instead = f"Add a condition such as inner.user_id = outer.user_id to it. {_STATISTICS_HINT}"
            self._add(query, message, instead)

    # --- GROUP BY, DISTINCT, windows -------------------------------------------------------------------------------

    def _check_groups(self, scope: Scope) -> None:
        select = scope.select
        group, distinct = select.args.get("group"), select.args.get("distinct")
        if group is not None and not groups_by_user(scope, group):
            self._add(group, "GROUP BY without user_id mixes users", f"Add user_id to it. {_STATISTICS_HINT}")
        if distinct is not None:
            chosen = distinct.args["on"].expressions if distinct.args.get("on") else None
            keyed = any(key for _, key in outputs_of(scope)) if chosen is None else any_key(scope, chosen, aliases=True)
            if not keyed:
                self._add(select.expressions[0], "DISTINCT without user_id mixes users", "Add user_id to its columns.")
        for window in own_windows(select):
            named = window.args.get("alias") is not None and not window.args.get("partition_by")
            if not named and not any_key(scope, window.args.get("partition_by") or [], aliases=True):
                message = "this window reaches over all users"
                self._add(window, message, f"Add PARTITION BY user_id. {_STATISTICS_HINT}")
