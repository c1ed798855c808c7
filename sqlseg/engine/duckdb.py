"""A DuckDB database, as the rest of sqlseg sees it: opened, attached, its transactions and its catalogue."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import duckdb

from sqlseg.engine.arrow import Lent
from sqlseg.engine.encryption import NoCrypto, explained_without_key
from sqlseg.engine.errors import QueryFailed, explained, one_line_up
from sqlseg.engine.filesystems import spellings
from sqlseg.engine.statements import Statements, duckdb_version

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_SIZE = 61_440
"""Rows that are compressed at a time in files that sqlseg writes. With the usual 122,880 all smaller tables would be
left to the commit, which compresses them on one thread. What a file has in other groups stays as it is."""


class Engine(Statements):
    """One DuckDB database, opened by one connection.

    >>> with Engine.open(None) as engine:
    ...     engine.rows("select 40 + $n as answer", {"n": 2})
    [(42,)]
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path | None, database: str | None = None) -> None:
        super().__init__(connection, path)
        self._database = database
        self._at_close: list[Callable[[], None]] = []

    @classmethod
    def open(
        cls,
        path: Path | None,
        *,
        read_only: bool = False,
        threads: int | None = None,
        memory_limit: str | None = None,
        temp_directory: Path | None = None,
        key: str | None = None,
    ) -> Self:
        """Open a database file (made if it is not there), or one in memory where `path` is None.

        With a key the file is encrypted, and so is what is spilled. Raises DatabaseLocked, DatabaseDamaged,
        PathNotWritable or DiskFull; with a key NoCrypto, WrongDatabaseKey or DatabaseNotEncrypted.
        """
        database = ":memory:" if path is None else str(path)
        attached = path if key is not None or not read_only else None
        if attached is not None:
            # By its name connections of this process share one in memory, as they would share that of the file.
            database = ":memory:" if key is not None else f":memory:{path}"
            temp_directory = temp_directory or attached.with_name(f"{attached.name}.tmp")
        config: dict[str, Any] = {}
        if threads is not None:
            config["threads"] = threads
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        if temp_directory is not None:
            config["temp_directory"] = str(temp_directory)
        try:
            connection = duckdb.connect(database, read_only=read_only and attached is None, config=config)
        except duckdb.Error as error:
            raise explained(error, path) from error
        engine = cls(connection, path)
        # Progress is told by sqlseg itself; insertion order costs memory and no query here depends on it.
        engine.execute("set enable_progress_bar = false; set preserve_insertion_order = false; set TimeZone = 'UTC'")
        # Nothing is fetched over a network, also not an extension that a statement would need.
        engine.execute("set autoinstall_known_extensions = false")
        # DuckDB 1.5 takes a file that is written again at once for the one that it knows, and mixes the two.
        engine.execute("set enable_external_file_cache = false")
        if attached is not None:
            try:
                engine._attach_itself(attached, key, read_only=read_only)
            except BaseException:
                engine.close()
                raise
        return engine

    def _attach_itself(self, path: Path, key: str | None, *, read_only: bool) -> None:
        """Put a file in the place of the database in memory: only so can it have a key or other row groups.

        It gets the name that DuckDB gives it, which may be that of the one in memory. Where this process has it open
        already, the database in memory is that of the first connection, with the file in its place.
        """
        if key is not None:
            self.load_crypto()
        self.execute(f"attach if not exists ':memory:' as {_STAND_IN}; use {_STAND_IN}.main")
        if self.row("select 1 from duckdb_databases() where database_name = 'memory' and path is null"):
            self.execute("detach memory")
            self.attach(path, None, read_only=read_only, key=key, row_group_size=None if read_only else ROW_GROUP_SIZE)
        of_files = "select database_name from duckdb_databases() where path is not null order by database_oid"
        self._database = str(self.value(of_files))
        self.execute(f"use {quoted(self._database)}.main; detach {_STAND_IN}")

    def load_crypto(self) -> None:
        """Make encrypted databases writable, and encrypt what is spilled. Raises NoCrypto."""
        try:
            self._connection.execute("load httpfs")
        except duckdb.Error as error:
            raise NoCrypto(duckdb_version()) from error
        self.execute("set temp_file_encryption = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; functions go first, or DuckDB 2.0 reports leaks when the process ends."""
        for name in list(self._functions):
            self.drop_function(name)
        self._connection.close()
        while self._at_close:
            self._at_close.pop()()

    def after_close(self, action: Callable[[], None]) -> None:
        """Have something done once the connection is closed, such as giving a lock back."""
        self._at_close.append(action)

    def confine(self, folders: Iterable[Path], databases: Iterable[Path] = ()) -> None:
        """Shut every later statement of this database off from all files but these; that cannot be undone.

        What is attached already stays within reach, with its logs, and so does the folder to spill to. Folders are
        given with all that is in them, `databases` as files that may be attached later. An allowed place is writable
        too, so only what is one SELECT may be run that others wrote. A second connection of one process to the same
        file is as confined as the first.
        """
        if not self.value("select current_setting('enable_external_access')"):
            return
        directories = [str(path) for folder in folders for path in spellings(folder)]
        files = [f"{path}{end}" for database in databases for path in spellings(database) for end in _DATABASE_FILES]
        for setting, paths in (("allowed_directories", directories), ("allowed_paths", files)):
            if paths:
                self.execute(f"set {setting} = [{', '.join(_literal(path) for path in dict.fromkeys(paths))}]")
        self.execute("set enable_external_access = false")

    def create_temp_view(self, name: str, select: str) -> None:
        """Name a SELECT for this connection alone.

        Raises QueryFailed, with the lines of the text, where it cannot be parsed or bound, or holds anything but
        exactly one SELECT.
        """
        try:
            statements = self._connection.extract_statements(select)
        except duckdb.Error as error:
            raise explained(error, self.path) from error
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
            raise QueryFailed(f"Expected exactly one SELECT, got: {kinds}.")
        try:
            # On a line of its own, so that the lines of an error are those of the text plus one.
            self.execute(f"create or replace temp view {quoted(name)} as\n{select}")
        except QueryFailed as error:
            message = one_line_up(error.message)
            raise QueryFailed(message, hint=error.hint) from error

    @contextmanager
    def registered(self, name: str, table: "pa.Table", *, large: bool = False) -> Iterator[None]:
        """Make an Arrow table readable as a relation of this name, for as long as the block runs.

        Within a transaction DuckDB holds what was registered until that ends. Of a `large` table it does not, but
        neither does it know how many rows there are when it plans a query.
        """
        lent = Lent(table) if large else None
        try:
            self._connection.register(name, lent or table)
        except (duckdb.Error, RuntimeError) as error:
            raise self._explained(error) from error
        try:
            yield
        except BaseException:
            # A statement that was broken off may leave a transaction that takes nothing but its end.
            with suppress(duckdb.Error):
                self._connection.unregister(name)
            raise
        finally:
            if lent is not None:
                lent.take_back()
        self._connection.unregister(name)

    @contextmanager
    def transaction(self, *, checkpoint: bool = True, logged: bool = True) -> Iterator[None]:
        """Keep all or nothing of what the block changes.

        Without `checkpoint` the changes stay in the database's log until a `checkpoint`, or until it is closed; not
        `logged`, they are written into its file at once, and into no log before.
        """
        self.execute("begin transaction")
        try:
            yield
        except BaseException as error:
            self._roll_back(error)
            raise
        if not checkpoint or not logged:
            self.execute(f"set wal_autocheckpoint = '{'0B' if checkpoint else '1TB'}'")
        try:
            self.execute("commit")
        finally:
            if not checkpoint or not logged:
                self.execute("reset wal_autocheckpoint")

    def checkpoint(self) -> None:
        """Take over what stands in the log; others may read meanwhile."""
        self.execute("checkpoint")

    def leave_log(self) -> None:
        """Close and detach without a checkpoint from now on: who opens a database next finds its changes in its log."""
        self.execute("pragma disable_checkpoint_on_shutdown")

    def _roll_back(self, failure: BaseException) -> None:
        try:
            self._connection.rollback()
        except duckdb.TransactionException:
            # The database has already rolled back by itself, as it does after a fatal error.
            return
        except duckdb.Error as error:
            # What failed first says more than that the database is of no use since.
            failure.add_note(f"It could not be rolled back either: {error}")

    @contextmanager
    def beside(self) -> Iterator[Self]:
        """Give another connection to the same database, for statements on a thread of their own.

        It sees nothing of an open transaction, no temporary relation, and only what is registered with itself.
        """
        other = type(self)(self._connection.cursor(), self.path, self._database)
        if self._database is not None:
            other.execute(f"use {quoted(self._database)}.main")
        try:
            yield other
        finally:
            other.close()

    # -- catalogue ----------------------------------------------------------------------------------------------

    def attach(
        self,
        path: Path | str,
        alias: str | None,
        *,
        kind: Literal["duckdb", "sqlite", "postgres"] = "duckdb",
        read_only: bool = True,
        storage_version: str | None = None,
        key: str | None = None,
        row_group_size: int | None = None,
    ) -> None:
        """Attach a database under a name, a new one in a file format; `key` encrypts it.

        New rows of its tables get row groups of a size. Without an alias DuckDB names it.
        """
        options = ["READ_ONLY"] if read_only else []
        if kind != "duckdb":
            options.append(f"TYPE {kind}")
        if storage_version is not None:
            options.append(f"STORAGE_VERSION '{storage_version}'")
        if key is not None:
            options.append(f"ENCRYPTION_KEY {_literal(key)}")
        if row_group_size is not None:
            options.append(f"ROW_GROUP_SIZE {row_group_size}")
        clause = f" ({', '.join(options)})" if options else ""
        name = "" if alias is None else f" as {quoted(alias)}"
        statement = f"attach {_literal(str(path))}{name}{clause}"
        if key is not None:
            try:
                self._connection.execute(statement)
            except duckdb.Error as error:
                # Neither the statement nor what the database says of it may get into a traceback.
                found = explained_without_key(error, Path(path), key, duckdb_version())
            else:
                return
            raise found
        try:
            self._connection.execute(statement)
        except duckdb.Error as error:
            raise explained(error, Path(path)) from error
        if kind == "duckdb" and alias is not None:
            self._attached[alias] = Path(path)

    def detach(self, alias: str) -> None:
        """Detach a database, which writes what is pending into its file."""
        self.execute(f"detach {quoted(alias)}")
        self._attached.pop(alias, None)

    def columns(self, schema: str, table: str) -> dict[str, str]:
        """Return the columns of a table or view of this database and their types; empty where there is none."""
        return dict(
            self.rows(
                "select column_name, data_type from duckdb_columns() "
                "where database_name = current_database() and schema_name = $schema and table_name = $table "
                "order by column_index",
                {"schema": schema, "table": table},
            )
        )

    def relation_exists(self, schema: str, table: str) -> bool:
        """Return whether this database has a table or view of that name."""
        where = "database_name = current_database() and schema_name = $schema and"
        found = self.row(
            f"select 1 from duckdb_tables() where {where} table_name = $table union all "
            f"select 1 from duckdb_views() where {where} view_name = $table",
            {"schema": schema, "table": table},
        )
        return found is not None


def quoted(identifier: str) -> str:
    """Return an identifier in double quotes, inner ones doubled.

    >>> quoted('a "b"')
    '"a ""b\"""'
    """
    return '"' + identifier.replace('"', '""') + '"'


_STAND_IN = '"/"'
"""The database that is there until the file is; none of a file is called so."""

_DATABASE_FILES = ("", ".wal", ".wal.checkpoint", ".wal.recovery")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
