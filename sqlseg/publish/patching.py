"""The published file from a copy of the last one: only rows that differ are written, and the whole is compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlseg.engine.duckdb import ROW_GROUP_SIZE, Engine, quoted
from sqlseg.engine.warehouse import comment_on
from sqlseg.errors import SqlsegError
from sqlseg.names import PRIVACY, RUN, Relation
from sqlseg.publish.catalogue import Catalogue, Entry, read_catalogue, view_texts
from sqlseg.publish.content_hash import TableContent, content_hash, table_contents
from sqlseg.publish.old_rows import OldRows, old_rows_beside
from sqlseg.publish.snapshot import (
    ALIAS,
    Built,
    PublishedRelation,
    SnapshotDiffers,
    compare,
    create,
    portable_type,
    projection,
    stamp,
    verify,
)
from sqlseg.publish.spare import take_copy
from sqlseg.publish.touched_rows import TouchedRows

if TYPE_CHECKING:
    import pyarrow as pa

GROWS_AT_MOST = 1.5
"""Times the size that the file had when it was last built whole: what has grown more is built whole again.

Rows that are replaced leave dead space behind; so there is never more than a third of it.
"""

SMALLEST_BYTES = 32 * 2**20
"""Smaller files are built whole as quickly."""

_STORAGE_V1_0_0 = (64).to_bytes(8, "little")


@dataclass(frozen=True)
class Patch:
    """What is known of the last published file.

    `by_user` are tables of which only some rows may differ, each with a relation of all users whose rows these are;
    whatever else differs is found by comparing. `whole_bytes` is the size of the file when it was last built whole,
    `contents` what its tables held when it was published, `run_id` the refresh that it must be of where that is given,
    and `measures` what must have been done in it for privacy. `at_end` are tables of the warehouse in which the rows of
    those users are the last so many, by the source that names them.
    """

    by_user: Mapping[Relation, str]
    whole_bytes: int
    contents: Mapping[Relation, TableContent]
    run_id: str | None = None
    measures: tuple[tuple[str, str], ...] = ()
    at_end: Mapping[str, int] = field(default_factory=dict)


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
        catalogue = read_catalogue(engine)
        _check_origin(engine, catalogue, patch)
        columns = _check_layout(engine, catalogue, relations)
        tables = [one for one in relations if one.kind == "table"]
        by_user = [one for one in tables if one.target in patch.by_user and one.target in patch.contents]
        users_of = {one.target: patch.by_user[one.target] for one in by_user}
        # A log would be written and read again at once, and is of no use to a copy that nobody knows yet.
        with old_rows_beside(engine, users_of) as old_rows, engine.transaction(logged=False):
            known = patch.contents if found_whole and _is_of(engine, patch.contents) else None
            others = [one for one in tables if one.target not in users_of]
            written = _replace_tables(engine, others, columns, known)
            touched = TouchedRows(engine, {name: n for name, n in patch.at_end.items() if name in catalogue.sources})
            written |= _replace_rows(engine, by_user, columns, patch, touched, old_rows)
            made = _renew_views_and_comments(engine, relations, catalogue, written)
            expected = {target: one.content for target, one in written.items()}
            hashed = stamp(engine, expected, run_id)
    finally:
        engine.detach(ALIAS)
    if made:
        _remember_views(engine, building, made)
    if building.stat().st_size > GROWS_AT_MOST * patch.whole_bytes:
        raise NoPatch(f"it would be over {GROWS_AT_MOST} times as large as when it was last built whole")
    try:
        if known is None:
            verify(building, expected)
        else:
            _verify_written(engine, building, written)
    except SnapshotDiffers as error:
        raise NoPatch(f"{error.relation} would not be what the warehouse holds") from error
    return hashed, expected


@dataclass(frozen=True)
class _Written:
    """What a table of the copy must hold, and which of its rows are new: so many at its end, or all where None."""

    content: TableContent
    at_end: TableContent | None


_NOTHING = TableContent(0, 0)


def _check_origin(engine: Engine, catalogue: Catalogue, patch: Patch) -> None:
    """Raise NoPatch unless the copy holds the refresh that it should, and had done to it what should be done."""
    if patch.run_id is not None:
        last = f"select max(run_id) from {ALIAS}.{RUN} where status = 'done' and kind <> 'noop'"
        if RUN not in catalogue.there or engine.value(last) != patch.run_id:
            raise NoPatch("it is not of the last refresh")
    measures: list[tuple[str, str]] = []
    if PRIVACY in catalogue.there:
        measures = [(row[0], row[1]) for row in engine.rows(f"select measure, value from {ALIAS}.{PRIVACY}")]
    if sorted(measures) != sorted(patch.measures):
        raise NoPatch("other things were done in it for privacy")


def _is_of(engine: Engine, contents: Mapping[Relation, TableContent]) -> bool:
    """Whether the copy says that this is what it holds."""
    hashed = content_hash(engine, contents)
    run = f"{ALIAS}.{RUN}"
    return engine.row(f"select 1 from {run} where content_hash = $hash", {"hash": hashed}) is not None


def _verify_written(engine: Engine, building: Path, written: Mapping[Relation, _Written]) -> None:
    """Raise SnapshotDiffers where a patched file, opened anew, does not hold what was written into it.

    For a copy that was found whole before: the number of rows of every table, and all rows that are new.
    """
    engine.attach(building, ALIAS)
    try:
        tables = list(written)
        counts = " union all ".join(
            f"select {number}, count(*), max(rowid) from {_in_copy(table)}" for number, table in enumerate(tables)
        )
        there = {tables[number]: (int(count), last) for number, count, last in engine.rows(counts)}
        for relation, one in written.items():
            if there[relation][0] != one.content.row_count:
                raise SnapshotDiffers(relation, one.content, replace(one.content, row_count=there[relation][0]))
        expected, selects = {}, {}
        for relation, one in written.items():
            if one.at_end == _NOTHING:
                continue
            expected[relation] = one.content if one.at_end is None else one.at_end
            selects[relation] = f"select * from {_in_copy(relation)}"
            if one.at_end is not None:
                selects[relation] += f" where rowid > {there[relation][1] - one.at_end.row_count}"
        compare(expected, table_contents(engine, selects))
    finally:
        engine.detach(ALIAS)


def _check_layout(
    engine: Engine, catalogue: Catalogue, relations: Sequence[PublishedRelation]
) -> dict[Relation, Mapping[str, str]]:
    """Return the columns of the source of each table, with types; raise NoPatch where the copy has other ones."""
    if set(catalogue.there) != {relation.target for relation in relations}:
        raise NoPatch("it holds other tables")
    columns = {}
    for relation in relations:
        if relation.kind == "table":
            given = columns[relation.target] = catalogue.columns_of(engine, relation.source)
            expected = [(name, portable_type(kind)) for name, kind in given.items()]
            if list(catalogue.there[relation.target].columns.items()) != expected:
                raise NoPatch(f"{relation.target} has other columns")
            if "rowid" in map(str.lower, given):  # by which rows could not be told apart any more
                raise NoPatch(f"{relation.target} has a column named rowid")
    return columns


def _in_copy(target: Relation) -> str:
    return f"{ALIAS}.{target.schema}.{quoted(target.name)}"


def _replace_tables(
    engine: Engine,
    tables: Sequence[PublishedRelation],
    columns: Mapping[Relation, Mapping[str, str]],
    known: Mapping[Relation, TableContent] | None,
) -> dict[Relation, _Written]:
    """Write those tables anew whose rows are other ones than those of the warehouse."""
    selects = {one.target: f"select {projection(columns[one.target])} from {one.source}" for one in tables}
    expected = table_contents(engine, selects)
    there = known or table_contents(engine, {target: f"select * from {_in_copy(target)}" for target in selects})
    written = {}
    for relation in tables:
        target = relation.target
        if there.get(target) == expected[target]:
            written[target] = _Written(expected[target], _NOTHING)
        else:
            create(engine, relation, replaced=True, columns=columns[target])
            written[target] = _Written(expected[target], None)
    return written


def _replace_rows(
    engine: Engine,
    tables: Sequence[PublishedRelation],
    columns: Mapping[Relation, Mapping[str, str]],
    patch: Patch,
    touched: TouchedRows,
    old_rows: Callable[[Relation], OldRows],
) -> dict[Relation, _Written]:
    """Replace the rows of some users by fresh ones; return what the tables then must hold, given what they did before.

    Rows of all others are those that were published before. To read them in the warehouse once more takes longer than
    the rest of the patch; that the file has kept them is seen when it is verified, or was before it was copied.
    """
    import pyarrow.compute as pc

    fresh = {
        one.target: touched.read(one, projection(columns[one.target]), patch.by_user[one.target])
        for one in sorted(tables, key=lambda one: one.source in touched.views)
    }
    contents = table_contents(engine, {target: f"select * from {rows}" for target, rows in fresh.items()})
    users, written = _users(engine, fresh), dict[Relation, _Written]()
    for target, rows in fresh.items():
        old, new, before = old_rows(target), contents[target], patch.contents[target]
        if not pc.all(pc.is_in(old.users, value_set=users[target]), min_count=0).as_py():
            # Deleted rows stay in the file as bytes until it is built anew.
            raise NoPatch("users are gone, of whom nothing may be left")
        if old.content == new:
            written[target] = _Written(before, _NOTHING)
            continue
        with engine.registered("old_places", old.places):
            engine.execute(f"delete from {_in_copy(target)} where rowid in (select place from old_places)")
        engine.execute(f"insert into {_in_copy(target)} select * from {rows}")
        written[target] = _Written(before.replaced(old.content, new), new)
    touched.drop()
    return written


def _users(engine: Engine, relations: Mapping[Relation, str]) -> dict[Relation, "pa.ChunkedArray"]:
    """Return the users of whom there are rows, by table."""
    import pyarrow.compute as pc

    parts = [
        f"select distinct {number} as number, user_id from {rows}" for number, rows in enumerate(relations.values())
    ]
    if not parts:
        return {}
    found = engine.table(" union all ".join(parts))
    return {
        target: found.filter(pc.equal(found["number"], number))["user_id"] for number, target in enumerate(relations)
    }


_STORED: dict[Relation, tuple[str, str]] = {}
"""Of each view that this process has written: the relation it reads, and its SQL as the database writes it."""


def _renew_views_and_comments(
    engine: Engine, relations: Sequence[PublishedRelation], catalogue: Catalogue, written: Mapping[Relation, _Written]
) -> list[PublishedRelation]:
    """Write the comments that are other ones, and views that may be; return the views that were written."""
    made = []
    for relation in relations:
        target, there = relation.target, catalogue.there[relation.target]
        if relation.kind == "view" and (there.sql is None or _STORED.get(target) != (relation.source, there.sql)):
            create(engine, relation, replaced=True)
            made.append(relation)
        elif relation.kind == "view" or written[target].at_end is not None:  # what is made anew has its comments
            _renew_comments(engine, relation, there)
    return made


def _remember_views(engine: Engine, building: Path, made: Sequence[PublishedRelation]) -> None:
    """Remember the SQL of views as it stands in a file that was written and opened anew."""
    engine.attach(building, ALIAS)
    try:
        now = view_texts(engine)
    finally:
        engine.detach(ALIAS)
    _STORED.update({one.target: (one.source, now[one.target]) for one in made})


def _renew_comments(engine: Engine, relation: PublishedRelation, there: Entry) -> None:
    changed = {
        column: text
        for column, text in relation.column_comments.items()
        if column in there.columns and there.column_comments.get(column) != text
    }
    text = relation.comment if relation.comment != there.comment else None
    comment_on(engine, relation.kind, _in_copy(relation.target), text, changed)
