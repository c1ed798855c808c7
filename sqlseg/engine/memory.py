"""Gives memory back to the system that is held in case it is asked for again."""

from contextlib import suppress

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.errors import OutOfMemory

_BEING_WRITTEN = 32_000_000
"""Bytes of tables on disk that are left in memory: blocks that are not full yet cannot be let go of."""


def give_back_memory(engine: Engine, memory_limit: str | None) -> None:
    """Let go of blocks of tables that lie on disk, which are read again when asked for, and of what has been freed.

    DuckDB keeps blocks until there are as many as `memory_limit` allows, which is that of the database; the C library
    and Arrow keep what has been freed. DuckDB lets go of blocks when it is told of another limit, and then has the
    C library trimmed, too: the limit that it gets for an instant is what it holds besides, so nothing is put on disk
    for it. Nothing else may be running on the database.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    # On a connection of its own: an error, such as too little memory, would break off an open transaction.
    with engine.beside() as other:
        # To reset the limit would leave DuckDB 1.5.0 with the lowered one. It is told cut off after a digit, so half of
        # one more is told the same.
        number, unit = str(other.value("select current_setting('memory_limit')")).split()
        usual = memory_limit or f"{float(number) + 0.05:.2f} {unit}"
        held = other.value("select sum(memory_usage_bytes)::bigint from duckdb_memory() where tag <> 'BASE_TABLE'")
        with suppress(OutOfMemory):  # where more than that is being written, all stays as it is
            other.execute(f"set memory_limit = '{held + _BEING_WRITTEN}B'")
        other.execute(f"set memory_limit = '{usual}'")
