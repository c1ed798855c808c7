"""Checks on the parsed tree that a view is user-local and gives the same answer at every run."""

from collections.abc import Iterator

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.features.user_rows import Problem
from sqlseg.features.user_scope import UserScopes
from sqlseg.features.view import Kind

__all__ = ["Problem", "locality_problems"]

_CLOCKS = {
    "current_date", "current_datetime", "current_localtime", "current_localtimestamp", "current_time",
    "current_timestamp", "get_current_time", "get_current_timestamp", "localtime", "localtimestamp", "now", "today",
    "transaction_timestamp", "utc_date", "utc_time", "utc_timestamp",
}  # fmt: skip
_CHANCE = {
    "gen_random_uuid", "rand", "randn", "random", "reservoir_quantile", "setseed", "uuid", "uuidv4", "uuidv7",
}  # fmt: skip
_STATE = {
    "currval", "current_catalog", "current_connection_id", "current_database", "current_query", "current_query_id",
    "current_role", "current_schema", "current_schemas", "current_setting", "current_transaction_id", "current_user",
    "current_version", "getenv", "getvariable", "nextval", "pg_backend_pid", "session_user", "txid_current", "version",
    "write_log",
}  # fmt: skip
_TABLE_FUNCTIONS = (exp.GenerateSeries, exp.Unnest, exp.Explode)


def locality_problems(kind: Kind, tree: exp.Query) -> list[Problem]:
    """Return what breaks the rules of views, by line; an empty list for a view that may be published.

    Statistics look across users, so only the rules of repeatability hold for them; sequences never ask for as_of.

    >>> for problem in locality_problems("features", sqltext.parse_select("select user_id from events limit 3")):
    ...     print(problem.line, problem.message)
    1 LIMIT depends on which rows come first over all users
    """
    problems = list(_repeatability(tree))
    if kind == "sequences":
        problems += _independence_of_time(tree)
    if kind != "statistics":
        problems += UserScopes().problems(tree)
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line)


def _repeatability(tree: exp.Query) -> Iterator[Problem]:
    for node in tree.walk():
        if isinstance(node, exp.Limit | exp.Fetch | exp.Offset):
            word = "OFFSET" if isinstance(node, exp.Offset) else "LIMIT"
            instead = (
                "Keep rows by a condition: `qualify row_number() over (partition by user_id order by ...) <= n`, "
                "or max_by(x, t) for the latest."
            )
            yield _problem(node, f"{word} depends on which rows come first over all users", instead)
        elif isinstance(node, exp.TableSample):
            yield _problem(node, "a sample differs from run to run", "Leave the sample out.")
        elif isinstance(node, exp.Placeholder | exp.Parameter | exp.SessionParameter):
            yield _problem(node, "a view takes no parameters", "Write the value, or as_of() for the time.")
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
            if not isinstance(node.this, _TABLE_FUNCTIONS):
                message = f"{_function_name(node.this)}() is read as a table, and a view reads no files or functions"
                instead = (
                    "Bring the data in through sql/events.sql; besides, unnest, range and generate_series are fine."
                )
                yield _problem(node, message, instead)
        elif isinstance(node, exp.Func):
            yield from _function(node)


def _function(node: exp.Func) -> Iterator[Problem]:
    name = _function_name(node)
    if name in _CLOCKS or (name == "age" and len(node.expressions) == 1):
        instead = "Use as_of() (UTC) or local_as_of() (midnight in the project's time zone)."
        yield _problem(node, f"{name}() reads the clock", instead)
    elif name in _CHANCE:
        yield _problem(node, f"{name}() is left to chance", "Use hash(user_id) where you need a stable draw.")
    elif name in _STATE:
        yield _problem(
            node, f"{name}() depends on the session", "Leave it out: a view reads relations and as_of() only."
        )
    elif name in ("as_of", "local_as_of") and node.expressions:
        yield _problem(node, f"{name}() takes no arguments", f"Write {name}().")


def _independence_of_time(tree: exp.Query) -> Iterator[Problem]:
    for name in ("as_of", "local_as_of"):
        for call in sqltext.calls(tree, name):
            message = f"a sequence view is independent of time, and this calls {name}()"
            yield _problem(call, message, "Measure time between the user's own events, e.g. with lag(event_time).")


def _function_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    return node.sql_name().lower() if isinstance(node, exp.Func) else node.key


def _problem(node: exp.Expr, message: str, instead: str) -> Problem:
    return Problem(sqltext.line_of(node), message, instead)
