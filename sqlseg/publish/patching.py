"""The published file from a copy of the last one: only rows that differ are written, and the whole is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import Comments, comment_on, comments
from sqlseg.errors import SqlsegError
from sqlseg.names import RUN, Relation
from sqlseg.publish.content_hash import TableContent, content_hash, table_content
from sqlseg.publish.snapshot import (
    ALIAS,
    ROW_GROUP_SIZE,
    Built,
    PublishedRelation,
    SnapshotDiffers,
    create,
    projection,
    stamp,
    verify,
)
from sqlseg.publish.spare import take_copy
from sqlseg.publish.touched_rows import TouchedRows

GROWS_AT_MOST = 1.5
"""Times the size that the file had when it was last built whole: what has grown more is built whole again.

Rows that are replaced leave dead space behind; so there is never more than a third of it.
"""

SMALLEST_BYTES = 32 * 2**20
"""Smaller files are built whole as quickly."""

_PLACE = '"place of the row"'

_STORAGE_V1_0_0 = (64).to_bytes(8, "little")


@dataclass(frozen=True)
class Patch:
    """What is known of the last published file.

    `by_user` are tables of which only some rows may differ, each with a relation of all users whose rows these are;
    whatever else differs is found by comparing. `whole_bytes` is the size of the file when it was last built whole,
    `contents` what its tables held when it was published.
    """

    by_user: Mapping[Relation, str]
    whole_bytes: int
    contents: Mapping[Relation, TableContent]


class NoPatch(SqlsegError):
    """The last published file cannot be patched; the message says why."""


def patch_copy(
    engine: Engine,
    published: Path,
    building: Path,
    relations: Sequence[PublishedRelation],
    patch: Patch,
    run_id: str | None = None,
) -> Built:
    """Make a copy of the published file that holds exactly `relations`; it is only read itself.

    Returns what it holds; the hash over that also goes into the row of `run_id` in its segments.run. Raises NoPatch.
    """
    if not published.is_file():
        raise NoPatch("it is not there")
    with published.open("rb") as file:
        if file.read(20)[12:] != _STORAGE_V1_0_0:
            raise NoPatch("it is of another format")
    found_whole = take_copy(published, building)
    try:
        # In row groups of another size all of them would be put together, and written again.
        engine.attach(building, ALIAS, read_only=False, row_group_size=ROW_GROUP_SIZE)
    except SqlsegError as error:
        raise NoPatch("it does not open") from error
    try:
        with engine.transaction():
            columns = _check_layout(engine, relations)
            known = patch.contents if found_whole and _is_of(engine, patch.contents) else None
            written = _bring_up_to_date(engine, relations, columns, patch, known)
            _renew_views(engine, relations)
            expected = {target: one.content for target, one in written.items()}
            hashed = stamp(engine, expected, run_id)
    finally:
        engine.detach(ALIAS)
    if building.stat().st_size > GROWS_AT_MOST * patch.whole_bytes:
        raise NoPatch(f"it would be over {GROWS_AT_MOST} times as large as when it was last built whole")
    try:
        if known is None:
            verify(building, expected)
        else:
            _verify_written(building, written)
    except SnapshotDiffers as error:
        raise NoPatch(f"{error.relation} would not be what the warehouse holds") from error
    return hashed, expected


@dataclass(frozen=True)
class _Written:
    """What a table of the copy must hold, and which of its rows are new: so many at its end, or all where None."""

    content: TableContent
    at_end: TableContent | None


_NOTHING = TableContent(0, 0)


def _is_of(engine: Engine, contents: Mapping[Relation, TableContent]) -> bool:
    """Whether the copy says that this is what it holds."""
    hashed = content_hash(engine, contents)
    run = f"{ALIAS}.{RUN}"
    return engine.row(f"select 1 from {run} where content_hash = $hash", {"hash": hashed}) is not None


def _verify_written(building: Path, written: Mapping[Relation, _Written]) -> None:
    """Raise SnapshotDiffers where a patched file, opened as its readers do, does not hold what was written into it.

    For a copy that was found whole before: the number of rows of every table, and all rows that are new.
    """
    with Engine.open(building, read_only=True) as reader:
        for relation, one in written.items():
            table = f"{relation.schema}.{quoted(relation.name)}"
            if one.at_end is None:
                expected, found = one.content, table_content(reader, relation, f"select * from {table}")
            else:
                expected = one.at_end
                rows = f"select * from {table} where rowid > (select max(rowid) from {table}) - {expected.row_count}"
                count = int(reader.value(f"select count(*) from {table}"))
                found = table_content(reader, relation, rows) if expected.row_count else _NOTHING
                if count != one.content.row_count:
                    expected, found = one.content, replace(one.content, row_count=count)
            if found != expected:
                raise SnapshotDiffers(relation, expected, found)


def _check_layout(engine: Engine, relations: Sequence[PublishedRelation]) -> dict[Relation, str]:
    """Return the columns of each table, as its SELECT has them; raise NoPatch where the copy has other ones."""
    found: dict[Relation, dict[str, str]] = {}
    for schema, table, column, kind in engine.rows(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        f"where database_name = '{ALIAS}' and not internal order by schema_name, table_name, column_index"
    ):
        found.setdefault(Relation(schema, table), {})[column] = kind
    if set(found) != {relation.target for relation in relations}:
        raise NoPatch("it holds other tables")
    columns = {}
    for relation in relations:
        if relation.kind == "table":
            columns[relation.target] = projection(engine, relation)
            expected = engine.describe(f"select {columns[relation.target]} from {relation.source}")
            if list(found[relation.target].items()) != list(expected.items()):
                raise NoPatch(f"{relation.target} has other columns")
            if "rowid" in map(str.lower, expected):  # by which rows could not be told apart any more
                raise NoPatch(f"{relation.target} has a column named rowid")
    return columns


def _bring_up_to_date(
    engine: Engine,
    relations: Sequence[PublishedRelation],
    columns: Mapping[Relation, str],
    patch: Patch,
    known: Mapping[Relation, TableContent] | None,
) -> dict[Relation, _Written]:
    """Change the rows of tables that differ; return what they then must hold.

    `known` is what the copy holds, where that is certain.
    """
    told, touched = comments(engine, ALIAS), TouchedRows(engine)
    tables = [relation for relation in relations if relation.kind == "table"]
    written = {}
    for relation in sorted(tables, key=lambda one: one.source in touched.views):
        target, select = relation.target, f"select {columns[relation.target]} from {relation.source}"
        before, users = patch.contents.get(target), patch.by_user.get(target)
        if before is not None and users is not None:
            fresh = touched.read(relation, columns[target], users)
            written[target] = _replace_rows(engine, target, fresh, users, before)
        else:
            expected = table_content(engine, target, select)
            there = None if known is None else known.get(target)
            if there is None:
                there = table_content(engine, target, f"select * from {_in_copy(target)}")
            if there != expected:
                create(engine, relation, replaced=True)
                written[target] = _Written(expected, None)
                continue
            written[target] = _Written(expected, _NOTHING)
        _renew_comments(engine, relation, told[target.schema, target.name])
    touched.drop()
    return written


def _in_copy(target: Relation) -> str:
    return f"{ALIAS}.{target.schema}.{quoted(target.name)}"


def _replace_rows(engine: Engine, target: Relation, fresh: str, users: str, before: TableContent) -> _Written:
    """Replace the rows of some users by fresh ones; return what the table then must hold, given what it did before.

    Rows of all others are those that were published before. To read them in the warehouse once more takes longer than
    the rest of the patch; that the file has kept them is seen when it is verified, or was before it was copied.
    """
    table = _in_copy(target)
    theirs = f"select rowid as {_PLACE}, * from {table} where user_id in (select user_id from {users})"
    engine.execute(f"create or replace temp table old_rows as {theirs}")
    if engine.row(f"select 1 from old_rows where user_id not in (select user_id from {fresh}) limit 1") is not None:
        # Deleted rows stay in the file as bytes until it is built anew.
        raise NoPatch("users are gone, of whom nothing may be left")
    old = table_content(engine, target, f"select * exclude ({_PLACE}) from old_rows")
    new = table_content(engine, target, f"select * from {fresh}")
    if old == new:
        return _Written(before, _NOTHING)
    engine.execute(f"delete from {table} where rowid in (select {_PLACE} from old_rows)")
    engine.execute(f"insert into {table} select * from {fresh}")
    return _Written(before.replaced(old, new), new)


def _renew_comments(engine: Engine, relation: PublishedRelation, there: Comments) -> None:
    of_table, of_columns = there
    changed = {column: text for column, text in relation.column_comments.items() if of_columns.get(column) != text}
    if changed:
        columns = engine.describe(f"select * from {relation.source}")
        changed = {column: text for column, text in changed.items() if column in columns}
    text = relation.comment if relation.comment != of_table else None
    comment_on(engine, "table", _in_copy(relation.target), text, changed)


def _renew_views(engine: Engine, relations: Sequence[PublishedRelation]) -> None:
    for relation in relations:
        if relation.kind == "view":
            create(engine, relation, replaced=True)
