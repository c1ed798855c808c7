"""The published file from a copy of the last one: only rows that differ are written, and the whole is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import Comments, comment_on, comments
from sqlseg.errors import SqlsegError
from sqlseg.names import Relation
from sqlseg.publish.content_hash import TableContent, table_content
from sqlseg.publish.snapshot import ALIAS, Built, PublishedRelation, SnapshotDiffers, create, projection, stamp, verify
from sqlseg.publish.spare import take_copy

GROWS_AT_MOST = 1.5
"""Times the size that the file had when it was last built whole: what has grown more is built whole again.

Rows that are replaced leave dead space behind; so there is never more than a third of it.
"""

SMALLEST_BYTES = 32 * 2**20
"""Smaller files are built whole as quickly."""

_NAMED_USERS = 10_000
"""So many users at most are named one by one in a query."""

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
    take_copy(published, building)
    try:
        engine.attach(building, ALIAS, read_only=False)
    except SqlsegError as error:
        raise NoPatch("it does not open") from error
    try:
        with engine.transaction():
            _check_layout(engine, relations)
            told = comments(engine, ALIAS)
            expected = {
                relation.target: _bring_up_to_date(
                    engine, relation, patch, told[relation.target.schema, relation.target.name]
                )
                for relation in relations
                if relation.kind == "table"
            }
            _renew_views(engine, relations)
            hashed = stamp(engine, expected, run_id)
    finally:
        engine.detach(ALIAS)
    if building.stat().st_size > GROWS_AT_MOST * patch.whole_bytes:
        raise NoPatch(f"it would be over {GROWS_AT_MOST} times as large as when it was last built whole")
    try:
        verify(building, expected)
    except SnapshotDiffers as error:
        raise NoPatch(f"{error.relation} would not be what the warehouse holds") from error
    return hashed, expected


def _check_layout(engine: Engine, relations: Sequence[PublishedRelation]) -> None:
    """Raise NoPatch where the copy has other relations or columns."""
    found: dict[Relation, dict[str, str]] = {}
    for schema, table, column, kind in engine.rows(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        f"where database_name = '{ALIAS}' and not internal order by schema_name, table_name, column_index"
    ):
        found.setdefault(Relation(schema, table), {})[column] = kind
    if set(found) != {relation.target for relation in relations}:
        raise NoPatch("it holds other tables")
    for relation in relations:
        if relation.kind == "table":
            expected = engine.describe(f"select {projection(engine, relation)} from {relation.source}")
            if list(found[relation.target].items()) != list(expected.items()):
                raise NoPatch(f"{relation.target} has other columns")


def _bring_up_to_date(engine: Engine, relation: PublishedRelation, patch: Patch, told: Comments) -> TableContent:
    """Change the rows of a table that differ; return what it then must hold."""
    target = f"{ALIAS}.{relation.target.schema}.{quoted(relation.target.name)}"
    select = f"select {projection(engine, relation)} from {relation.source}"
    before = patch.contents.get(relation.target)
    users = patch.by_user.get(relation.target)
    if before is not None and users is not None:
        expected = _replace_rows(engine, relation, target, select, users, before)
    else:
        expected = table_content(engine, relation.target, select)
        if table_content(engine, relation.target, f"select * from {target}") != expected:
            create(engine, relation, replaced=True)
            return expected
    _renew_comments(engine, relation, told)
    return expected


def _replace_rows(
    engine: Engine, relation: PublishedRelation, target: str, select: str, users: str, before: TableContent
) -> TableContent:
    """Replace the rows of some users; return what the table then must hold, given what it did before.

    Rows of all others are those that were published before. To read them in the warehouse once more takes longer than
    the rest of the patch; that the file has kept them is seen when it is verified.
    """
    theirs = f"where user_id in (select user_id from {users})"
    _read_fresh_rows(engine, select, users)
    gone = f"{theirs} and user_id not in (select user_id from fresh_rows)"
    if engine.row(f"select 1 from {target} {gone} limit 1") is not None:
        # Deleted rows stay in the file as bytes until it is built anew.
        raise NoPatch("users are gone, of whom nothing may be left")
    old = table_content(engine, relation.target, f"select * from {target} {theirs}")
    new = table_content(engine, relation.target, "select * from fresh_rows")
    engine.execute(f"delete from {target} {theirs}")
    engine.execute(f"insert into {target} select * from fresh_rows; drop table fresh_rows")
    return before.replaced(old, new)


def _read_fresh_rows(engine: Engine, select: str, users: str) -> None:
    """Leave the rows of some users in the temporary table fresh_rows.

    Single values reach through the joins of a view, where a subquery waits for the join of all users.
    """
    ids = [row[0] for row in engine.rows(f"select user_id from {users}")]
    if 0 < len(ids) <= _NAMED_USERS:
        asked = f"select * from ({select}) where user_id in ({', '.join('?' * len(ids))})"
        engine.execute(f"create or replace temp table fresh_rows as {asked}", ids)
    else:
        asked = f"select * from ({select}) where user_id in (select user_id from {users})"
        engine.execute(f"create or replace temp table fresh_rows as {asked}")


def _renew_comments(engine: Engine, relation: PublishedRelation, there: Comments) -> None:
    of_table, of_columns = there
    changed = {column: text for column, text in relation.column_comments.items() if of_columns.get(column) != text}
    if changed:
        columns = engine.describe(f"select * from {relation.source}")
        changed = {column: text for column, text in changed.items() if column in columns}
    target = f"{ALIAS}.{relation.target.schema}.{quoted(relation.target.name)}"
    comment_on(engine, "table", target, relation.comment if relation.comment != of_table else None, changed)


def _renew_views(engine: Engine, relations: Sequence[PublishedRelation]) -> None:
    for relation in relations:
        if relation.kind == "view":
            create(engine, relation, replaced=True)
