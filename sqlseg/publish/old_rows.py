"""The rows that touched users have in the published file so far, searched for on a thread of its own."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.names import WHOLE_ROW, Relation
from sqlseg.publish.content_hash import TableContent
from sqlseg.publish.snapshot import ALIAS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class OldRows:
    """Rows of some users in a table of the copy: their `place`s, the users who have any, and what they come to."""

    places: "pa.Table"
    users: "pa.Array"
    content: TableContent


@contextmanager
def old_rows_beside(engine: Engine, users_of: Mapping[Relation, str]) -> Iterator[Callable[[Relation], OldRows]]:
    """Give what waits for the rows of a table of the copy; `users_of` names by table the relation of their users.

    They are what was there when the block began, whatever it writes meanwhile. Every column of every row is looked at
    for them, which leaves time to read the rows that take their place.
    """
    relations = {users: f"looked_for_{number}" for number, users in enumerate(dict.fromkeys(users_of.values()))}
    with engine.beside() as other, ThreadPoolExecutor(1, thread_name_prefix="old_rows") as thread:
        for users, name in relations.items():
            with other.registered("ids", engine.table(f"select user_id from {users}")):
                other.execute(f"create temp table {name} as select * from ids")
        found = {table: thread.submit(_find, other, table, relations[users]) for table, users in users_of.items()}
        try:
            yield lambda table: found[table].result()
        except BaseException:
            thread.shutdown(wait=False, cancel_futures=True)
            other.interrupt()
            raise


def _find(other: Engine, table: Relation, users: str) -> OldRows:
    rows = other.table(
        f"select rowid as place, user_id, hash({WHOLE_ROW}) as hashed "
        f"from {ALIAS}.{table.schema}.{quoted(table.name)} as {WHOLE_ROW} "
        f"where user_id in (select user_id from {users})"
    )
    return OldRows(
        rows.select(["place"]), rows["user_id"].unique(), TableContent(len(rows), _sum(rows["hashed"].to_numpy()))
    )


def _sum(hashes: "NDArray[np.uint64]") -> int:
    """Return a sum of hashes that may be more than 64 bits hold.

    >>> import numpy as np
    >>> _sum(np.array([2**64 - 1, 2**64 - 1], dtype=np.uint64)) == 2**65 - 2
    True
    """
    import numpy as np

    half = np.uint64(32)
    return (int((hashes >> half).sum()) << 32) + int((hashes & np.uint64(2**32 - 1)).sum())
