"""Withholds from published aggregates what would tell of fewer than k users, also by way of the totals."""

from collections.abc import Sequence
from dataclasses import replace

from sqlseg.engine.duckdb import Engine
from sqlseg.names import Relation
from sqlseg.publish.snapshot import PublishedRelation
from sqlseg.resources import sql_text

SUPPRESSED = (
    "Whether figures of this row are withheld: they tell of few users, or would let those of another row be found."
)
"""What the column `suppressed` says, of the tables that have one."""

_TABLES = ("segment", "daily", "profile", "transition", "rule", "content_profile", "lineage", "metric", "run", "model")


def suppressed_relations(
    engine: Engine, relations: Sequence[PublishedRelation], min_users: int
) -> list[PublishedRelation]:
    """Return relations without figures of fewer than `min_users` users; those of single users are left as they are.

    What is withheld is NULL, and `suppressed` says so. The scoring of a segmentation with a hidden segment is not
    published, since it has the centres of segments in its text.
    """
    _run(engine, "hidden_segments", min_users)
    hidden = {row[0] for row in engine.rows("select distinct segmentation from hidden_segment")}
    without = {Relation("segments", f"{name}_live") for name in hidden}
    found = []
    for relation in relations:
        if relation.target in without:
            continue
        if relation.target.schema == "segments" and relation.target.name in _TABLES:
            name = f"suppressed_{relation.target.name}"
            _run(engine, name, min_users)
            comments = {**relation.column_comments, "suppressed": SUPPRESSED}
            relation = replace(relation, source=f"temp.{name}", column_comments=comments)
        found.append(relation)
    return found


def _run(engine: Engine, step: str, min_users: int) -> None:
    counts = step not in ("suppressed_segment", "suppressed_rule", "suppressed_lineage", "suppressed_model")
    engine.execute(sql_text(f"steps/publish/{step}.sql"), {"min_users": min_users} if counts else None)
