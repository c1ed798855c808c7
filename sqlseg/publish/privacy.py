"""What is done to the tables of the warehouse on their way into the published file, in one place."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlseg.engine.duckdb import Engine
from sqlseg.names import PRIVACY
from sqlseg.publish.allowing import EVERYTHING, AllowList, allowed_relations
from sqlseg.publish.pseudonyms import DIGITS, Pseudonyms, pseudonymous_relations
from sqlseg.publish.snapshot import PublishedRelation
from sqlseg.publish.suppression import suppressed_relations

COMMENT = "What was done to this file for the privacy of users, as [privacy] in sqlseg.toml asks; one row a measure."
COLUMN_COMMENTS = {"measure": "What was done, such as tables or columns.", "value": "How; lists as JSON."}


@dataclass(frozen=True)
class Policy:
    """What a published file may hold; by default everything, as it is."""

    allow: AllowList = EVERYTHING
    min_users: int | None = None
    pseudonyms: Pseudonyms | None = None
    epsilon_budget: float | None = None

    @property
    def measures(self) -> tuple[tuple[str, str], ...]:
        """What a reader of the file is told: nothing where nothing is done."""
        found = []
        if self.allow.tables is not None:
            found.append(("tables", json.dumps(self.allow.tables)))
        if self.allow.columns is not None:
            found.append(("columns", json.dumps(self.allow.columns)))
        if self.min_users is not None:
            found.append(("min_users", str(self.min_users)))
        if self.pseudonyms is not None:
            found.append(("pseudonyms", f"HMAC-SHA256, {DIGITS} digits, key {self.pseudonyms.fingerprint}"))
        if self.epsilon_budget is not None:
            found.append(("epsilon_budget", f"{self.epsilon_budget:g}"))
        return tuple(found)


def protected_relations(
    engine: Engine, relations: Sequence[PublishedRelation], policy: Policy, also: Sequence[str] = ()
) -> list[PublishedRelation]:
    """Return relations as a policy lets them be published, and segments.privacy, which says what the policy is.

    Both ways of publishing, whole and by patching, read these and nothing else. `also` are relations of users that
    need a pseudonym without being published.
    """
    if not policy.measures:
        return list(relations)
    published = list(relations)
    if policy.min_users is not None:
        published = suppressed_relations(engine, published, policy.min_users)
    published = allowed_relations(engine, published, policy.allow)
    if policy.pseudonyms is not None:
        published = pseudonymous_relations(engine, published, policy.pseudonyms, also)
    return [*published, _told(policy)]


def _told(policy: Policy) -> PublishedRelation:
    rows = ", ".join(
        "(" + ", ".join("'" + text.replace("'", "''") + "'" for text in row) + ")" for row in policy.measures
    )
    source = f"(select * from (values {rows}) as told (measure, value))"
    return PublishedRelation(PRIVACY, source, COMMENT, COLUMN_COMMENTS)
