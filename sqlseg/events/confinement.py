"""Holds a shop's own SQL to one SELECT that reads only what the project allows, before a database sees it.

The database is confined as well, and has the last word: this is for the message, which names the file and the line.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from sqlglot import Token, TokenType, exp

from sqlseg import sqltext
from sqlseg.errors import SqlsegError

_STATEMENTS = {
    *("alter", "analyze", "attach", "begin", "call", "checkpoint", "comment", "commit", "copy", "create", "deallocate"),
    *("delete", "detach", "drop", "execute", "explain", "export", "import", "insert", "install", "load", "merge"),
    *("pragma", "prepare", "replace", "reset", "rollback", "set", "truncate", "update", "use", "vacuum"),
}
_HIDING = {
    *("arrow_scan", "arrow_scan_dumb", "pandas_scan", "python_arrow_scan", "python_map_function", "seq_scan"),
    *("query", "query_table", "json_execute_serialized_sql", "checkpoint", "force_checkpoint", "copy_database"),
    *("import_database", "add_parquet_key", "truncate_duckdb_logs", "write_log", "postgres_query", "postgres_execute"),
    *("postgres_attach", "sqlite_query", "sqlite_attach", "create_external_resource", "register_external_resource"),
    *("enable_logging", "enable_profiling", "enable_profile", "enable_external_access", "set_config"),
}
"""Functions that run text as SQL, reach into memory, or change the database, from within a SELECT."""

_READERS = re.compile(
    r"(read_\w+|parquet_\w+|glob|sniff_csv|\w*_scan|st_read\w*|iceberg_\w+|delta_scan|readcsv|readparquet|readjson)"
)
_FILE = re.compile(
    r".*(?:/.*|\.(?:csv|tsv|txt|json|jsonl|ndjson|parquet|duckdb|db|sqlite|xlsx|avro|arrow)(?:\.\w+)?)", re.DOTALL
)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_WILD = re.compile(r"[*?\[{]")


class NotAllowedInShopSql(SqlsegError):
    """A shop's SQL does something that is not reading, or reads what the project does not allow; names the line."""

    def __init__(self, name: PurePath | str, line: int, problem: str, hint: str) -> None:
        super().__init__(f"{name}:{line}: {problem}.", hint=hint)
        self.line = line


@dataclass(frozen=True)
class Readable:
    """The folders that a project's SQL may read files from, and where relative paths in it begin; all absolute."""

    folders: tuple[Path, ...]
    base: Path

    def allows(self, path: str) -> bool:
        """Return whether a path, or all that a pattern can match, lies in one of the folders.

        >>> shop = Readable((Path("/shop/data"),), Path("/shop"))
        >>> shop.allows("data/*.parquet"), shop.allows("data/../sqlseg.toml"), shop.allows("/etc/passwd")
        (True, False, False)
        """
        fixed = _WILD.split(path, maxsplit=1)[0]
        if fixed != path:
            if ".." in Path(path[len(fixed) :]).parts:
                return False
            fixed = fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else ".")
        named = os.path.normpath(self.base / fixed)
        found = Path(os.path.realpath(named))
        return any(found.is_relative_to(os.path.realpath(folder)) for folder in self.folders)


def check_shop_select(text: str, name: PurePath | str, readable: Readable) -> None:
    """Raise NotAllowedInShopSql where a text is not one SELECT, writes, or reads files outside of what is allowed.

    A text that sqlglot cannot read and DuckDB perhaps can is left to the database, which is confined by itself.

    >>> try:
    ...     check_shop_select("copy t to 'x.csv'", "sql/events.sql", Readable((), Path("/shop")))
    ... except NotAllowedInShopSql as error:
    ...     print(error.message)
    sql/events.sql:1: COPY is no SELECT, and exactly one SELECT is expected.
    """
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        _refuse(name, line, "there is a zero byte in the text, which the database reads up to there", _ONLY_READS)
    try:
        tokens = sqltext.tokens(text, name)
    except sqltext.UnreadableSql:
        return
    _check_statements(tokens, name)
    try:
        tree = sqltext.parse_select(text, name)
    except sqltext.UnreadableSql:
        return
    for node in tree.walk():
        if isinstance(node, exp.DML | exp.DDL | exp.Copy | exp.Attach | exp.Command) and not isinstance(
            node, exp.Query
        ):
            _refuse(name, sqltext.line_of(node), f"{node.key.upper()} stands inside the SELECT", _ONLY_READS)
        elif isinstance(node, exp.Func):
            _check_function(node, name, readable)
    for table in sqltext.base_tables(tree):
        if table.args.get("db") is None and _FILE.fullmatch(table.name):
            _check_path(table.name, sqltext.line_of(table), name, readable)


_ONLY_READS = (
    "Write one SELECT (WITH ... SELECT is fine). sqlseg makes the tables; sources are declared in sqlseg.toml."
)


def _refuse(name: PurePath | str, line: int, problem: str, hint: str) -> None:
    raise NotAllowedInShopSql(name, line, problem, hint)


def _check_statements(tokens: Sequence[Token], name: PurePath | str) -> None:
    beginning = True
    begun = 0
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            beginning = True
            continue
        if not beginning:
            continue
        beginning, begun = False, begun + 1
        word = token.text.split()[0].lower() if token.text.split() else ""
        if word in _STATEMENTS:
            _refuse(name, token.line, f"{word.upper()} is no SELECT, and exactly one SELECT is expected", _ONLY_READS)
        if begun > 1:
            _refuse(name, token.line, "a second statement begins here, and exactly one SELECT is expected", _ONLY_READS)


def _check_function(node: exp.Func, name: PurePath | str, readable: Readable) -> None:
    called = sqltext.function_name(node)
    if called in _HIDING:
        problem = f"{called}() does more than read a relation or a file"
        _refuse(name, sqltext.line_of(node), problem, "Name the tables and files to read in the SELECT itself.")
    if _READERS.fullmatch(called):
        for path in _paths(node):
            _check_path(path, sqltext.line_of(node), name, readable)


def _paths(node: exp.Func) -> Iterator[str]:
    """Yield the paths that a call spells out: its first argument, a text or a list of texts."""
    first = node.this if isinstance(node.this, exp.Expr) else next(iter(node.expressions), None)
    for one in first.expressions if isinstance(first, exp.Array) else [first]:
        if isinstance(one, exp.Literal) and one.is_string:
            yield str(one.this)


def _check_path(path: str, line: int, name: PurePath | str, readable: Readable) -> None:
    local = re.sub(r"^file:(//(localhost)?(?=/))?", "", path, flags=re.IGNORECASE)
    if _REMOTE.match(local):
        hint = "Fetch the file first: sqlseg reads nothing over a network."
        _refuse(name, line, f"{path!r} is not on this machine", hint)
    if not readable.allows(local):
        allowed = ", ".join(str(folder) for folder in readable.folders) or "none"
        hint = f'Allowed: {allowed}. Add its folder to paths under [events] in sqlseg.toml, such as paths = ["data/"].'
        _refuse(name, line, f"{path!r} lies outside the folders that this project's SQL may read", hint)
