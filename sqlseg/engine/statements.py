"""Statements on a DuckDB connection, and functions of ours that they call: results, and one family of errors."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from sqlseg.engine.errors import explained
from sqlseg.engine.statement_progress import StatementProgress
from sqlseg.errors import SqlsegError

if TYPE_CHECKING:
    import pyarrow as pa

Parameters = Sequence[Any] | Mapping[str, Any] | None
VectorFunction = Callable[..., "pa.Array"]

_CTRL_C_WITHIN = re.compile(r"(?:registered as '\w+' failed|while executing the UDF): KeyboardInterrupt")
"""How DuckDB tells of a Ctrl-C that came while it asked Python for a table, or for what a function answers."""


def duckdb_version() -> str:
    """Return the version of the installed DuckDB, such as `2.0.0`."""
    return str(duckdb.__version__)


class Statements:
    """What is asked of one connection.

    Every failure is raised as a `SqlsegError`; results are drained before a method returns, since an undrained
    one blocks the connection on DuckDB 2.0 and loses rows on 1.5.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path | None) -> None:
        self._connection = connection
        self._functions: dict[str, VectorFunction] = {}
        self._function_failure: BaseException | None = None
        self._progress = StatementProgress(connection.execute, connection.query_progress)
        self._attached: dict[str, Path] = {}
        self.path = path

    def _run(self, sql: str, parameters: Parameters) -> duckdb.DuckDBPyConnection:
        self._function_failure = None
        try:
            with self._progress.of_statement():
                if parameters is None:
                    return self._connection.execute(sql)
                return self._connection.execute(sql, parameters)
        except (duckdb.Error, RuntimeError) as error:
            raise self._explained(error) from error

    def _explained(self, error: duckdb.Error | RuntimeError) -> BaseException:
        # What a function of ours raised inside the database comes back wrapped; its own words say more.
        if self._function_failure is not None:
            return self._function_failure
        if isinstance(error, RuntimeError):
            # DuckDB's word for a Ctrl-C that breaks off a statement; any other is no failure of the database.
            return KeyboardInterrupt() if str(error) == "Query interrupted" else error
        if _CTRL_C_WITHIN.search(str(error)):
            return KeyboardInterrupt()
        return explained(error, self.path, self._attached.values())

    def execute(self, sql: str, parameters: Parameters = None) -> None:
        """Run one statement, or several separated by `;`, and drop what they return."""
        self.rows(sql, parameters)

    def rows(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        cursor = self._run(sql, parameters)
        try:
            return cursor.fetchall() if cursor.description else []
        except (duckdb.Error, RuntimeError) as error:
            raise self._explained(error) from error

    def row(self, sql: str, parameters: Parameters = None) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None where it has none."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    def value(self, sql: str, parameters: Parameters = None) -> Any:
        """Return the first column of the first row, or None where there is no row."""
        row = self.row(sql, parameters)
        return row[0] if row else None

    def table(self, sql: str, parameters: Parameters = None) -> "pa.Table":
        """Return the result of a query as an Arrow table."""
        self._function_failure = None
        try:
            if parameters is not None and duckdb_version().startswith("1."):
                # There a relation with parameters is computed under Python's lock, for which a function waits forever.
                return self._connection.execute(sql, parameters).to_arrow_table()
            return self._connection.sql(sql, params=parameters).to_arrow_table()
        except (duckdb.Error, RuntimeError) as error:
            raise self._explained(error) from error

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table in one statement; their values are in the order of its columns."""
        if rows:
            row = f"({', '.join('?' * len(rows[0]))})"
            self.execute(
                f"insert into {table} values {', '.join([row] * len(rows))}", [value for one in rows for value in one]
            )

    def describe(self, sql: str) -> dict[str, str]:
        """Return the column names of a query or relation and their DuckDB types, in order, without running it.

        Of a relation that is known to be there this is ten times as quick as `columns`.
        """
        return {name: kind for name, kind, *_ in self.rows(f"describe {sql}")}

    def statement_progress(self) -> tuple[int, float] | None:
        """Return the number of the running statement and how far it is, 0 to 1, where known; from any thread."""
        return self._progress.ask()

    def interrupt(self) -> None:
        """Break off the running statement; callable from another thread."""
        self._connection.interrupt()

    def create_vector_function(self, name: str, function: VectorFunction, parameters: list[str], returns: str) -> None:
        """Make a Python function over Arrow arrays callable from SQL; it gets at most 2,048 rows a call.

        A SqlsegError that the function raises comes out of the query as it is.
        """

        def guarded(*columns: Any) -> Any:  # DuckDB looks the annotations up
            try:
                return function(*columns)
            except (SqlsegError, KeyboardInterrupt) as error:
                self._function_failure = error
                raise

        options: dict[str, Any] = {
            "parameters": parameters,
            "return_type": returns,
            "type": "arrow",
            "null_handling": "special",
        }
        self._connection.create_function(name, guarded, **options)
        self._functions[name] = guarded

    def drop_function(self, name: str) -> None:
        """Take back a function made by `create_vector_function`."""
        self._connection.remove_function(name)
        del self._functions[name]
