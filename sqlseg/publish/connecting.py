"""How each tool opens a published file: what to paste, and what to know."""

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Connection:
    """What to type or fill in to open a published file in one tool."""

    tool: str
    text: str
    note: str = ""


def connections(path: Path) -> tuple[Connection, ...]:
    """Return how to open a file for reading in each tool that is known; the path is absolute.

    >>> print(connections(Path("/srv/shop/published/shop.duckdb"))[0].text)
    duckdb -readonly /srv/shop/published/shop.duckdb
    """
    address = path.as_posix()
    url = f"duckdb:///{address}?access_mode=read_only"
    jdbc = f"jdbc:duckdb:{address}"
    return (
        Connection("DuckDB CLI", f"duckdb -readonly {shlex.quote(address)}"),
        Connection(
            "Python",
            f"import duckdb\n\nwith duckdb.connect({address!r}, read_only=True) as con:\n"
            '    con.sql("select segment_name, user_count from segments.segment").show()',
            "Close connections: a process sees a new snapshot only once it has closed all that it has on the old one.",
        ),
        Connection(
            "SQLAlchemy",
            f"create_engine({url!r}, poolclass=NullPool)",
            "With duckdb-engine. NullPool opens the file for each query, so that no pool holds an old one.",
        ),
        Connection(
            "Superset", url, "The SQLAlchemy URI of a new database, with duckdb-engine installed beside Superset."
        ),
        Connection(
            "Node",
            "import { DuckDBInstance } from '@duckdb/node-api';\n\n"
            f"const instance = await DuckDBInstance.create({_javascript(address)}, {{ access_mode: 'READ_ONLY' }});",
            "connection.closeSync() and instance.closeSync() let go of an old snapshot.",
        ),
        Connection("JDBC", jdbc, "With the property duckdb.read_only = true."),
        Connection(
            "DBeaver",
            jdbc,
            "A new DuckDB connection; Driver properties: duckdb.read_only = true. Disconnect to see a new snapshot.",
        ),
        Connection(
            "Metabase",
            address,
            'As "Database file" of the DuckDB driver (a plugin); switch on "Establish a read-only connection". '
            "It keeps connections open, and shows the old snapshot until they are closed.",
        ),
        Connection(
            "Tableau",
            address,
            'Connector "DuckDB by MotherDuck" with the DuckDB JDBC driver: server "Local file", which it opens '
            "read-only. A connection that stays open shows the old snapshot.",
        ),
    )


def _javascript(text: str) -> str:
    """Return a text as JavaScript writes it.

    >>> print(_javascript("/srv/o'hara.duckdb"))
    '/srv/o\\'hara.duckdb'
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
