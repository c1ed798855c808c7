"""Keeps pyarrow from what sqlseg has no use for, and DuckDB from holding Arrow tables for longer than it reads them."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class _NoPandas:
    """A finder of modules that says of pandas that there is none."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def leave_pandas_out() -> None:
    """Let pyarrow take pandas for not installed, from here to the end of the process.

    With the first array that it makes or gives back pyarrow imports pandas, so as to know its data when it sees them.
    Where pandas is installed that takes half a second, and nothing in sqlseg is of pandas. It is for a process of
    sqlseg's own, in which nothing else can import pandas either: another program may well hand data of pandas to
    pyarrow later. Where pandas is imported already, nothing changes.
    """
    if "pandas" not in sys.modules and _NoPandas not in sys.meta_path:
        sys.meta_path.insert(0, _NoPandas)


class Lent:
    """An Arrow table to be read by whoever holds this, until it is taken back; then nothing of it is held."""

    def __init__(self, table: "pa.Table") -> None:
        self._table: pa.Table | None = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give the table to one reader, by the Arrow PyCapsule interface."""
        if self._table is None:
            raise LookupError("The table has been taken back.")
        return self._table.__arrow_c_stream__(requested_schema)

    def take_back(self) -> None:
        """Let go of the table."""
        self._table = None
