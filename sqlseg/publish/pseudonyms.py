"""Puts a keyed pseudonym in the place of every user id on its way into the published file."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.keyed_hash import key_parameters, keyed_hash
from sqlseg.names import Relation
from sqlseg.publish.snapshot import PublishedRelation

DIGITS = 32
"""Hexadecimal digits of HMAC-SHA256 that are kept: 128 bits, its half, as RFC 2104 allows."""

_TABLE = "user_pseudonym"


@dataclass(frozen=True)
class Pseudonyms:
    """The key by which pseudonyms are made, of 32 characters or more.

    >>> pseudonyms = Pseudonyms(b"an example; a real one is random")
    >>> pseudonyms.of("ann")
    'ab162c92ad9aec4c88a79b51fd85f242'
    """

    key: bytes = field(repr=False)

    def of(self, user: str) -> str:
        """Return the pseudonym of a user."""
        return hmac.digest(self.key, user.encode("utf-8"), "sha256").hex()[:DIGITS]

    @property
    def fingerprint(self) -> str:
        """What tells the key from others, and nothing of it."""
        return hmac.digest(self.key, b"sqlseg pseudonyms", "sha256").hex()[:DIGITS]


def create_pseudonyms(engine: Engine, pseudonyms: Pseudonyms, users: Sequence[str]) -> None:
    """Keep the pseudonym of every user of some relations, for this connection alone."""
    everybody = " union ".join(f"select user_id from {relation}" for relation in users)
    engine.execute(
        f"create or replace temp table {_TABLE} as "
        f"select user_id as real_id, left({keyed_hash('user_id')}, {DIGITS}) as pseudonym "
        f"from ({everybody}) where user_id is not null",
        key_parameters(pseudonyms.key),
    )


def real_users(engine: Engine, pseudonyms: Pseudonyms, users: str, wanted: Sequence[str]) -> dict[str, str]:
    """Return the user behind each of some pseudonyms, of those users of a relation that have one of them."""
    found = engine.rows(
        f"with everybody as (select distinct user_id from {users}) "
        f"select left({keyed_hash('user_id')}, {DIGITS}) as pseudonym, user_id from everybody "
        "where list_contains($wanted, pseudonym)",
        {**key_parameters(pseudonyms.key), "wanted": list(wanted)},
    )
    return dict(found)


def pseudonymous(relation: str) -> str:
    """Return a relation with a column user_id of real ids as one of pseudonyms; `create_pseudonyms` knows them.

    The rows are in the order of the pseudonyms, which tells nothing; that of the ids could tell which is which. A user
    without a pseudonym is an error, never a real id.
    """
    named = "coalesce(p.pseudonym, error('a user has no pseudonym'))"
    return (
        f"(select * from (select s.* replace ({named} as user_id) from {relation} as s "
        f"left join {_TABLE} as p on p.real_id = s.user_id) order by user_id)"
    )


def pseudonymous_relations(
    engine: Engine, relations: Sequence[PublishedRelation], pseudonyms: Pseudonyms, also: Sequence[str] = ()
) -> list[PublishedRelation]:
    """Return relations that name users by pseudonyms alone; `also` are relations with more users to know.

    Texts that could name a user are withheld: SQL of the shop's own, and messages of refreshes that failed.
    """
    with_users = {one.target: one.source for one in relations if one.kind == "table" and _names_users(engine, one)}
    if users := [*_without_copies(with_users), *also]:
        create_pseudonyms(engine, pseudonyms, users)
    return [
        replace(one, source=pseudonymous(one.source)) if one.target in with_users else _without_texts(one)
        for one in relations
    ]


def _without_copies(sources: Mapping[Relation, str]) -> list[str]:
    """Return relations that hold all users of some: feature tables all have the same users, and so has what they join.

    >>> rfm, price = Relation("features", "rfm_v1"), Relation("features", "price_v1")
    >>> _without_copies({rfm: "sqlseg.feature_rfm_v1", price: "sqlseg.feature_price_v1"})
    ['sqlseg.feature_rfm_v1']
    """
    features = [source for target, source in sources.items() if target.schema == "features"]
    beside = [source for target, source in sources.items() if target.name.endswith("_users")]
    others = [source for source in sources.values() if source not in features and source not in beside]
    return [*features[:1], *(others or beside)]


def _names_users(engine: Engine, relation: PublishedRelation) -> bool:
    return "user_id" in engine.describe(f"select * from {relation.source}")


_TEXTS = {
    Relation("segments", "run"): "case when error is not null then 'The message is in the warehouse.' end as error",
    Relation("segments", "segment"): "null::varchar as rule_sql",
    Relation("segments", "model"): "case when algorithm <> 'rules' then parameters end as parameters, "
    "json_object('inputs', json_extract(inputs, '$.inputs'))::varchar as inputs",
}


def _without_texts(relation: PublishedRelation) -> PublishedRelation:
    """Return a relation without the texts in which somebody may have named users."""
    if relation.target not in _TEXTS:
        return relation
    return replace(relation, source=f"(select * replace ({_TEXTS[relation.target]}) from {relation.source})")
