"""What a refresh is asked for, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlseg.names import Relation
from sqlseg.workflow.plan import Plan, Refit

if TYPE_CHECKING:
    from sqlseg.segments.refit import Evidence


@dataclass(frozen=True)
class Options:
    """What the command line asks of one refresh."""

    as_of: str | None = None
    refit: Refit | None = None
    segmentation: str | None = None
    full: bool = False
    require_gpu: bool = False
    publish_anyway: bool = False
    wait: float = 0.0
    """Seconds, for another process that holds the project."""
    rebuild: bool = False
    """Whether to begin with a new warehouse, with the history of the published file."""


@dataclass(frozen=True)
class Move:
    """Users who go from one segment to another; None stands for not being there."""

    segmentation: str
    from_segment: str | None
    to_segment: str | None
    cause: str
    user_count: int


@dataclass(frozen=True)
class Outcome:
    """What a refresh did, or a plan found that it would do.

    `by_user` are the published tables in which only rows of some users can be other than before, each with the
    temporary table of these users.
    """

    run_id: str
    plan: Plan
    users_total: int
    users_embedded: int
    users_moved: int
    provider: str | None
    moves: tuple[Move, ...]
    published: Path | None
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    by_user: Mapping[Relation, str] = field(default_factory=dict)
    evidence: Mapping[str, "Evidence"] = field(default_factory=dict)
    """What was measured of users against the model that placed them, by segmentation; nothing where one was fitted."""
