"""Computes statistics, features and embeddings into the warehouse, as of one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.errors import QueryFailed
from sqlseg.engine.warehouse import comment_on
from sqlseg.errors import SqlsegError
from sqlseg.features.binding import MATERIALIZED, Source, bound_sql, every_user_sql
from sqlseg.features.view import View


class ViewFailed(SqlsegError):
    """A view's SQL was refused by the database."""

    def __init__(self, view: View, error: SqlsegError) -> None:
        super().__init__(f"{view.path}: {error.message.splitlines()[0]}", hint=_rest(error))


class TwoRowsForAUser(SqlsegError):
    """A feature view returns more than one row for some user."""

    def __init__(self, view: View, user_id: str, rows: int, users: int) -> None:
        super().__init__(
            f"{view.path}: {view.ref} returns {rows} rows for user {user_id!r}; {users:,} users have more than one.",
            hint="A feature view returns at most one row a user: end it with `group by user_id`, and check its joins.",
        )


class InfiniteFeature(SqlsegError):
    """A feature is infinite or not a number for some users."""

    def __init__(self, view: View, column: str, users: int) -> None:
        super().__init__(
            f"{view.path}: {column} is infinite or not a number for {users:,} users.",
            hint="Guard the division: x / nullif(y, 0) gives NULL, which later steps fill in.",
        )


def _rest(error: SqlsegError) -> str | None:
    return "\n".join(line for line in error.message.splitlines()[1:] if line.strip()) or error.hint


POPULATION = "sqlseg.population"


@dataclass(frozen=True)
class Moment:
    """As of when to compute, from which events, and for whom.

    `as_of` is UTC, `local_as_of` the same on the shop's clock; both without zone. `events` is SQL for the relation
    to read them from. `views` names other tables than the usual ones for single views, by their relation.
    `users` is the relation of the users to compute: where it is not the population, the others keep their rows, and
    whoever of touched_users is not in it loses them.
    """

    as_of: datetime
    local_as_of: datetime
    events: str = "sqlseg.events"
    views: Mapping[str, str] | None = None
    users: str = POPULATION

    @property
    def of_everyone(self) -> bool:
        """Whether the rows of all users of the population are computed, rather than those of touched users."""
        return self.users == POPULATION

    @property
    def source(self) -> Source:
        """The relations that views are bound to while they are computed."""
        return Source(events=self.events, features=MATERIALIZED.features, views=self.views, population=self.users)


def keep_population(engine: Engine, moment: Moment) -> int:
    """Replace `sqlseg.population` by the users with an event before as_of; return how many.

    Feature tables are written in the order of users, which helps whoever reads them by it; nothing depends on that.
    """
    engine.execute(
        f"create or replace table sqlseg.population as select distinct user_id from {moment.events} "
        "where event_time < $as_of order by user_id",
        {"as_of": moment.as_of},
    )
    return int(engine.value("select count(*) from sqlseg.population"))


def compute_statistics(engine: Engine, view: View, moment: Moment, into: str | None = None) -> None:
    """Replace a shop-wide table, which then stands still until it is computed again. Raises ViewFailed.

    `into` names another table for it, which is nobody's to read and has no comments.
    """
    text = bound_sql(view, moment.as_of, moment.local_as_of, moment.source)
    try:
        engine.execute(
            f"create or replace table {into or view.relation} as "
            f"select *, $as_of::timestamp as computed_as_of from (\n{text}\n)",
            {"as_of": moment.as_of},
        )
    except QueryFailed as error:
        raise ViewFailed(view, error) from error
    if into is not None:
        return
    described = {column.name: column.description for column in view.columns}
    comment_on(
        engine, "table", view.relation, view.summary, {**described, "computed_as_of": "as_of of the data (UTC)."}
    )


def compute_features(engine: Engine, view: View, moment: Moment, users: int) -> None:
    """Replace the rows of a feature view: one for each of the moment's users, of whom there are so many.

    Raises ViewFailed, TwoRowsForAUser or InfiniteFeature.
    """
    table = f"sqlseg.{view.table}"
    select = every_user_sql(view, moment.as_of, moment.local_as_of, moment.source, pretty=False)
    try:
        if moment.of_everyone:
            engine.execute(f"create or replace table {table} as {select} order by user_id")
            _check_features(engine, view, table, users)
            return
        engine.execute(f"create or replace temp table {fresh_rows(view.table)} as {select}")
    except QueryFailed as error:
        raise ViewFailed(view, error) from error
    _check_features(engine, view, fresh_rows(view.table), users)
    replace_touched(engine, table, fresh_rows(view.table))


def fresh_rows(table: str) -> str:
    """Return the temporary table in which the rows stay that a refresh has computed of the touched users alone.

    To read them there spares a look through the rows of all users. `table` is that of theirs in the schema sqlseg.
    """
    return quoted(f"fresh_{table}")


def replace_touched(engine: Engine, table: str, fresh: str) -> None:
    """Replace the rows of the touched users by fresh ones, in a table that need not be in the order of users."""
    engine.execute(f"delete from {table} where user_id in (select user_id from touched_users)")
    engine.execute(f"insert into {table} select * from {fresh} order by user_id")


def _check_features(engine: Engine, view: View, table: str, users: int) -> None:
    kinds = engine.describe(table)
    doubtful = [name for name, kind in kinds.items() if kind in ("DOUBLE", "FLOAT")]
    counted = ["count(*)", *(f"count(*) filter (where not isfinite({quoted(name)}))" for name in doubtful)]
    found, *counts = engine.rows(f"select {', '.join(counted)} from {table}")[0]
    if found != users:
        repeated = engine.rows(
            f"select user_id, count(*) from {table} group by user_id having count(*) > 1 order by 2 desc, 1"
        )
        user_id, rows = repeated[0]
        raise TwoRowsForAUser(view, user_id, rows, len(repeated))
    for column, count in zip(doubtful, counts, strict=True):
        if count:
            raise InfiniteFeature(view, column, count)


def create_public_view(engine: Engine, view: View, as_of: datetime, local_as_of: datetime, *, in_use: bool) -> None:
    """Make `features.<name>_v<k>` as SQL over the events, and `features.<name>` where this is the version in use."""
    select = every_user_sql(view, as_of, local_as_of, pretty=False)
    engine.execute(f"create or replace view {view.relation} as {select}")
    described = {column.name: column.description for column in view.columns}
    text = f"{view.summary} {view.description}".strip()
    comment_on(engine, "view", view.relation, text, described)
    if in_use:
        engine.execute(f"create or replace view features.{view.name} as select * from {view.relation}")
        comment_on(engine, "view", f"features.{view.name}", f"{view.ref}: {text}", described)
