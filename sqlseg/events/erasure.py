"""Keeps users who were forgotten from coming back with the next import, without keeping who they were."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.keyed_hash import key_parameters, keyed_hash

if TYPE_CHECKING:
    import pyarrow as pa

REASON = "erased"
"""Why their rows are refused; such a row is counted, and nothing of it is kept."""


@dataclass(frozen=True)
class Erased:
    """Keyed hashes of the users who were forgotten; without the key nobody can try ids against them.

    >>> erased = Erased(b"a key of this shop", frozenset()).with_users(["ann"])
    >>> erased.holds("ann"), erased.holds("bob"), "ann" in str(erased.hashes)
    (True, False, False)
    """

    key: bytes
    hashes: frozenset[str]

    def hash(self, user: str) -> str:
        """Return the HMAC-SHA256 of a user id, in hexadecimal digits."""
        return hmac.digest(self.key, user.encode("utf-8", "surrogatepass"), "sha256").hex()

    def holds(self, user: str) -> bool:
        """Return whether a user was forgotten."""
        return bool(self.hashes) and self.hash(user) in self.hashes

    def with_users(self, users: Iterable[str]) -> "Erased":
        """Return these and more users."""
        return Erased(self.key, self.hashes | {self.hash(user) for user in users})

    def among(self, engine: Engine, users: str) -> "pa.Table":
        """Return those that were forgotten among the ids of a query, as a table of one column user_id.

        The query returns one column of that name too.
        """
        import pyarrow as pa

        if not self.hashes:
            return pa.table({"user_id": pa.array([], pa.string())})
        listed = pa.table({"hash": pa.array(sorted(self.hashes), pa.string())})
        with engine.registered("erased_hashes", listed):
            hashed = keyed_hash("user_id::varchar")
            return engine.table(
                f"select user_id from ({users}) where {hashed} in (select hash from erased_hashes)",
                key_parameters(self.key),
            )


NOBODY = Erased(b"", frozenset())


def mark_erased(engine: Engine, erased: Erased) -> None:
    """Refuse the staged rows of users who were forgotten, and let go of what stands in them.

    A keyed digest tells equal rows from others, so that a refresh that reads a part of the source counts each once.
    """
    found = erased.among(engine, "select distinct user_id from staged_events") if erased.hashes else None
    if found is not None and found.num_rows:
        with engine.registered("erased_ids", found):
            engine.execute(
                "update staged_events set reason = $reason, "
                "rejected_row = json_object('erased', md5($salt || raw_hash))::varchar "
                "where user_id in (select user_id from erased_ids)",
                {"reason": REASON, "salt": hmac.digest(erased.key, b"sqlseg erased rows", "sha256").hex()},
            )
