"""Which ids of segments were ever given out, and which a label or a rule goes by."""

from collections.abc import Sequence

from sqlseg.engine.duckdb import Engine
from sqlseg.segments.identity import next_segment_number


def segment_ids_ever(engine: Engine, segmentation: str) -> list[str]:
    """Return every id that was ever given out, those of retired segments too."""
    return [
        row[0]
        for row in engine.rows(
            "select segment_id from segments.segment where segmentation = $name", {"name": segmentation}
        )
    ]


def live_segments(engine: Engine, segmentation: str) -> list[str]:
    """Return the segments in use, also those that have lost their last user."""
    rows = engine.rows(
        "select segment_id from segments.segment where segmentation = $name and retired_at is null order by 1",
        {"name": segmentation},
    )
    return [row[0] for row in rows]


def ids_by_name(engine: Engine, segmentation: str, names: Sequence[str]) -> dict[str, str]:
    """Return the id of each name that is in use; names seen for the first time get the next numbers, in order."""
    given = dict(
        engine.rows(
            "select rule_name, segment_id from sqlseg.rule_segment where segmentation = $name", {"name": segmentation}
        )
    )
    number = next_segment_number(segmentation, [*given.values(), *segment_ids_ever(engine, segmentation)])
    ids: dict[str, str] = {}
    for name in sorted(set(names)):
        if name not in given:
            given[name] = f"{segmentation}-{number}"
            number += 1
            engine.execute(
                "insert into sqlseg.rule_segment values ($segmentation, $rule_name, $segment_id)",
                {"segmentation": segmentation, "rule_name": name, "segment_id": given[name]},
            )
        ids[name] = given[name]
    return ids
