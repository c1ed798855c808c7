"""Reads, binds, compares and writes DuckDB SQL as text and trees; never touches a file or a database."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import PurePath

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, TokenError

from sqlseg.errors import SqlsegError

DIALECT = "duckdb"

_QUERY_STARTS = {TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.L_PAREN}
_TEXT_TOKENS = {
    TokenType.STRING,
    TokenType.BYTE_STRING,
    TokenType.HEREDOC_STRING,
    TokenType.NATIONAL_STRING,
    TokenType.RAW_STRING,
    TokenType.UNICODE_STRING,
}
_QUOTED_OR_COMMENT = re.compile(
    r"""(?P<comment>--[^\n]*) | /\*.*?\*/ | (?<![A-Za-z0-9_])[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
        | (?<![A-Za-z0-9_])\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$""",
    re.DOTALL | re.VERBOSE,
)


_DEEPEST = 200
"""How many levels of a query may lie within each other: what walks its tree calls itself for each of them."""

_SHOWN = 60
"""How many characters are shown of a line on either side of what is wrong with it."""


class UnreadableSql(SqlsegError):
    """A text is not the one SELECT that was expected; says where."""

    def __init__(self, path: PurePath | str, line: int, column: int, problem: str, text: str) -> None:
        lines = text.splitlines() or [""]
        shown = lines[min(line, len(lines)) - 1].expandtabs(1)
        start = max(column - _SHOWN, 0)
        shown, caret = shown[start : column + _SHOWN], " " * (column - 1 - start) + "^"
        super().__init__(
            f"{path}:{line}:{column}: {problem}.\n    {shown}\n    {caret}",
            hint="Write one SELECT (WITH ... SELECT is fine) in DuckDB's SQL.",
        )
        self.path = path
        self.line = line
        self.column = column


@dataclass(frozen=True)
class Comment:
    """One `--` comment: where it begins (from 1), its text, and whether code stands before it on its line."""

    line: int
    column: int
    text: str
    trailing: bool


def parse_select(text: str, path: PurePath | str = "<sql>") -> exp.Query:
    """Return the tree of a text that holds exactly one SELECT; `path` is for error messages only.

    >>> parse_select("from events select user_id").sql("duckdb")
    'SELECT user_id FROM events'
    """
    found = tokens(text, path)
    if not found:
        raise UnreadableSql(path, 1, 1, "there is no SQL here", text)
    if found[0].token_type not in _QUERY_STARTS:
        line, column = _place(text, found[0].start)
        raise UnreadableSql(path, line, column, f"a SELECT is expected, this starts with {found[0].text!r}", text)
    try:
        trees = Dialect.get_or_raise(DIALECT).parser().parse(found, text)
    except ParseError as error:
        raise _unreadable(error, text, path) from error
    except RecursionError:
        raise UnreadableSql(path, 1, 1, _TOO_DEEP, text) from None
    statements = [tree for tree in trees if not isinstance(tree, exp.Semicolon | None)]
    if len(statements) > 1:
        semicolon = next(token for token in found if token.token_type is TokenType.SEMICOLON)
        line, column = _place(text, semicolon.start)
        raise UnreadableSql(path, line, column, f"one SELECT is expected, here are {len(statements)} statements", text)
    tree = statements[0]
    if not isinstance(tree, exp.Query):
        raise UnreadableSql(path, 1, 1, f"a SELECT is expected, this is {tree.key.upper()}", text)
    if _depth(tree) > _DEEPEST:
        raise UnreadableSql(path, 1, 1, _TOO_DEEP, text)
    return tree


_TOO_DEEP = "expressions are nested too deeply in each other to be checked"


def _depth(tree: exp.Expr) -> int:
    """Return how many levels lie within each other; a chain of one operator, such as a + b + c, is one."""
    deepest = 0
    stack = [(tree, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        for child in node.iter_expressions():
            chained = isinstance(node, exp.Binary) and child is node.this and type(child) is type(node)
            level = depth if chained and not isinstance(node, exp.Dot) else depth + 1
            stack.append((child, level))
    return deepest


def to_sql(tree: exp.Expr, pretty: bool = True, dialect: str = DIALECT) -> str:
    """Return a tree as SQL of DuckDB or another dialect that sqlglot knows, without comments.

    >>> to_sql(parse_select("select a+1 as b from t -- why"), pretty=False)
    'SELECT a + 1 AS b FROM t'
    """
    return tree.sql(dialect=dialect, pretty=pretty, comments=False, unsupported_level=ErrorLevel.RAISE)


def fingerprint(tree: exp.Expr) -> str:
    """Return the SHA-256 of what a tree computes.

    Comments, spacing, the case of keywords and (as DuckDB treats them) of names make no difference. Comparable between
    runs of one sqlglot release only: another release may write the same tree otherwise.

    >>> fingerprint(parse_select("select A from t")) == fingerprint(parse_select('SELECT "a" FROM T -- note'))
    True
    """
    written = tree.sql(dialect=DIALECT, comments=False, identify=True)
    parts = [
        f"{token.token_type.name}:{token.text if token.token_type in _TEXT_TOKENS else token.text.lower()}"
        for token in sqlglot.tokenize(written, read=DIALECT)
    ]
    return digest(*parts)


def token_digest(text: str) -> str:
    """Return the SHA-256 of a text's tokens: comments and spacing make no difference, all else does.

    >>> token_digest("select 1 -- one") == token_digest("select  1")
    True
    >>> token_digest("select 'A'") == token_digest("select 'a'")
    False
    """
    try:
        tokens = sqlglot.tokenize(text, read=DIALECT)
    except TokenError:
        return digest(text)
    return digest(*(f"{token.token_type.name}:{token.text}" for token in tokens))


def digest(*parts: str) -> str:
    """Return the SHA-256 of several texts, in hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def same_tree(a: exp.Expr, b: exp.Expr) -> bool:
    """Return whether two trees compute the same, but for comments, spacing and the case of names."""
    return fingerprint(a) == fingerprint(b)


def table_name(table: exp.Table) -> str:
    """Return a table reference's name as written, in lower case: `events`, `features.rfm_v1`."""
    return ".".join(part.name.lower() for part in table.parts)


def base_tables(tree: exp.Expr) -> Iterator[exp.Table]:
    """Yield the references to tables and views that stand outside a tree: no CTEs, no table functions."""
    stack: list[tuple[exp.Expr, frozenset[str]]] = [(tree, frozenset())]
    while stack:
        node, hidden = stack.pop()
        with_ = node.args.get("with_")
        if with_ is not None:
            for cte in with_.expressions:
                name = cte.alias.lower()
                recursive = with_.args.get("recursive") and isinstance(cte.this, exp.SetOperation)
                stack.append((cte.this, hidden | {name} if recursive else hidden))
                hidden = hidden | {name}
        if (
            isinstance(node, exp.Table)
            and isinstance(node.this, exp.Identifier)
            and (node.args.get("db") is not None or node.name.lower() not in hidden)
        ):
            yield node
        stack.extend((child, hidden) for child in node.iter_expressions() if child is not with_)


def tables_read(tree: exp.Expr) -> tuple[str, ...]:
    """Return the names of the tables and views that a query reads, sorted, in lower case, without its CTEs.

    >>> tables_read(parse_select("with b as (from events) select b.x from b join features.rfm_v1 using (user_id)"))
    ('events', 'features.rfm_v1')
    """
    return tuple(sorted({table_name(table) for table in base_tables(tree)}))


def calls(tree: exp.Expr, function: str) -> list[exp.Anonymous]:
    """Return the calls of a function that DuckDB itself does not have, such as `as_of()`."""
    return [node for node in tree.find_all(exp.Anonymous) if node.name.lower() == function]


def function_name(node: exp.Expr) -> str:
    """Return the name of the function that a node calls, in lower case; empty where it calls none.

    >>> function_name(parse_select("select today()").expressions[0])
    'current_date'
    """
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    return node.sql_name().lower() if isinstance(node, exp.Func) else ""


def bind(tree: exp.Query, tables: Mapping[str, str], functions: Mapping[str, str] | None = None) -> exp.Query:
    """Return a copy of a tree that reads other relations and has literals for some calls.

    `tables` maps names as in `tables_read` to a relation or a subquery in parentheses, `functions` maps names of
    functions without arguments to expressions. CTEs shadow tables, and every reference keeps its alias.

    >>> tree = parse_select("select e.x from events e")
    >>> to_sql(bind(tree, {"events": "(select * from sqlseg.events)"}), pretty=False)
    'SELECT e.x FROM (SELECT * FROM sqlseg.events) AS e'
    """
    bound = tree.copy()
    for table in list(base_tables(bound)):
        relation = tables.get(table_name(table))
        if relation is not None:
            table.replace(_bound_reference(table, relation))
    for column in bound.find_all(exp.Column):
        if column.db and f"{column.db}.{column.table}".lower() in tables:
            column.set("db", None)
    for name, expression in (functions or {}).items():
        for call in calls(bound, name):
            if not call.expressions:
                call.replace(sqlglot.parse_one(f"({expression})", read=DIALECT).unnest())
    return bound


def lists_rows(tree: exp.Expr) -> bool:
    """Return whether rows are written out in the text itself, by VALUES."""
    return tree.find(exp.Values) is not None


def output_columns(tree: exp.Expr) -> list[exp.Expr]:
    """Return the select list of a query; of the first branch, for a set operation."""
    while isinstance(tree, exp.SetOperation | exp.Subquery):
        tree = tree.this
    return list(tree.expressions)


def output_names(tree: exp.Expr) -> list[str]:
    """Return the names of a query's columns: `*` for a star, the empty text for what has no name.

    >>> output_names(parse_select("select user_id, max(price) as top, count(*), e.* from events e"))
    ['user_id', 'top', '', '*']
    """
    return ["*" if is_star(column) else column.output_name for column in output_columns(tree)]


def is_star(column: exp.Expr) -> bool:
    """Return whether an entry of a select list stands for several columns: `*`, `e.*`, `columns(...)`."""
    bare = column.this if isinstance(column, exp.Column) else column
    return isinstance(bare, exp.Star) or column.find(exp.Columns) is not None


def line_of(node: exp.Expr) -> int:
    """Return the line, from 1, on which a part of a parsed tree begins, or the nearest that is known."""
    at: exp.Expr | None = node
    while at is not None:
        lines = [part.meta["line"] for part in at.walk() if "line" in part.meta]
        if lines:
            return int(min(lines))
        at = at.parent
    return 1


def comments(text: str) -> list[Comment]:
    """Return the `--` comments of a text, in order.

    >>> comments("select 1 as one -- first")
    [Comment(line=1, column=17, text='first', trailing=True)]
    """
    found = []
    for match in _QUOTED_OR_COMMENT.finditer(text):
        if match["comment"] is not None:
            line, column = _place(text, match.start())
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            found.append(Comment(line, column, match["comment"].lstrip("-").strip(), bool(before.strip())))
    return found


def quote(identifier: str) -> str:
    """Return a name as a quoted identifier.

    >>> quote('a "b"')
    '"a ""b\"""'
    """
    return exp.to_identifier(identifier, quoted=True).sql(dialect=DIALECT)


def quote_if_needed(identifier: str) -> str:
    """Return a name as an identifier, quoted where DuckDB would not read it as one otherwise.

    >>> quote_if_needed("recency_days"), quote_if_needed("order"), quote_if_needed("Top 3")
    ('recency_days', '"order"', '"Top 3"')
    """
    return exp.to_identifier(identifier).sql(dialect=DIALECT)


def literal(value: object) -> str:
    """Return a value as SQL: None, bool, int, float, str, date, datetime (without zone) or a sequence of these.

    >>> literal(["it's", 1.5, None, datetime(2011, 12, 10)])
    "['it''s', 1.5, NULL, TIMESTAMP '2011-12-10 00:00:00']"
    """
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper()
        case float() if not math.isfinite(value):
            return f"'{value}'::DOUBLE"
        case int() | float():
            return repr(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case datetime() if value.tzinfo is None:
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
        case date() if not isinstance(value, datetime):
            return f"DATE '{value.isoformat()}'"
        case Sequence():
            return f"[{', '.join(literal(item) for item in value)}]"
        case _:
            raise TypeError(f"no SQL literal for {value!r}")


def _bound_reference(table: exp.Table, relation: str) -> exp.Expr:
    parsed = sqlglot.parse_one(f"SELECT * FROM {relation}", read=DIALECT)
    reference: exp.Expr = parsed.args["from_"].this.copy()
    alias = table.args.get("alias")
    if alias is None:
        alias = exp.TableAlias(this=table.this.copy())
    elif alias.this is None:
        alias.set("this", table.this.copy())
    reference.set("alias", alias)
    for modifier in ("joins", "laterals", "pivots", "sample"):
        if table.args.get(modifier):
            reference.set(modifier, table.args[modifier])
    return reference


def tokens(text: str, path: PurePath | str) -> list[Token]:
    """Return the tokens of a text; `path` is for error messages only. Raises UnreadableSql where it cannot be cut."""
    try:
        return sqlglot.tokenize(text, read=DIALECT)
    except TokenError as error:
        blanked = _QUOTED_OR_COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        opened = re.search(r"'|\"|/\*|\$\w*\$", blanked)
        at = opened.start() if opened else max(len(text) - 1, 0)
        line, column = _place(text, at)
        problem = f"{opened[0]} is opened here and never closed" if opened else "this cannot be read"
        raise UnreadableSql(path, line, column, problem, text) from error


def _unreadable(error: ParseError, text: str, path: PurePath | str) -> UnreadableSql:
    first = error.errors[0] if error.errors else {}
    near = str(first.get("highlight") or "")
    start = len(str(first.get("start_context") or ""))
    problem = str(first.get("description") or "this cannot be read").split(" but got <Token")[0]
    if problem.startswith("Required keyword"):
        problem = "something is missing here"
    elif problem.startswith("Invalid expression"):
        problem = "this is not expected here"
    line = int(first.get("line") or 1)
    column = max(int(first.get("col") or 1) - len(near) + 1, 1) if "\n" not in near else 1
    if start and text.startswith(near, start) and line == 1:
        column = start + 1
    return UnreadableSql(path, line, column, f"{problem}, near {near!r}" if near else problem, text)


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1
