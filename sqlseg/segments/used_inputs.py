"""What a fitted preprocessing uses of its inputs, and what it leaves out and why: one row a feature."""

from dataclasses import dataclass, replace

from sqlseg.segments.axes import VARIANCE_KEPT, EmbeddingProjection
from sqlseg.segments.preprocessing import FeatureScaling, FittedBlock, Preprocessing
from sqlseg.segments.projection import Projection


@dataclass(frozen=True)
class UsedInput:
    """One feature of an input, kept or dropped.

    `reason` says why it was dropped; of what is turned onto axes, how much these keep. `score` and `rank` (1 is the
    best) are there where features were chosen by what they tell of labels.
    """

    feature: str
    input: str
    kept: bool
    reason: str | None = None
    score: float | None = None
    rank: int | None = None


def used_inputs(preprocessing: Preprocessing) -> tuple[UsedInput, ...]:
    """Return every feature that was given: the best first where they were scored, then the kept, then the dropped."""
    rows = [
        UsedInput(feature, block.name, True, _axes(block), preprocessing.scores.get(feature))
        for block in preprocessing.blocks
        for feature in _features(block)
    ]
    rows += [UsedInput(one.column, one.block, False, one.reason, one.score) for one in preprocessing.dropped]
    scored = sorted((row for row in rows if row.score is not None), key=lambda row: -(row.score or 0.0))
    ranked = [replace(row, rank=rank) for rank, row in enumerate(scored, start=1)]
    return (*ranked, *(row for row in rows if row.score is None))


def used_axes(projection: Projection) -> tuple[UsedInput, ...]:
    """Return the axes that the inputs are turned onto, as inputs of their own, and those beyond them that are not."""
    count, what = len(projection.axes), "variance" if projection.kind == "pca" else "differences between labels"
    return tuple(
        UsedInput(
            f"{projection.kind}:{number}",
            "projection",
            number <= count,
            f"holds {share:.1%} of the {what}"
            + ("" if number <= count else f", beyond the {VARIANCE_KEPT:.0%} to keep"),
        )
        for number, share in enumerate(projection.shares.tolist(), start=1)
    )


def _features(block: FittedBlock) -> tuple[str, ...]:
    return tuple(column.name for column in block.columns) if isinstance(block, FeatureScaling) else (block.name,)


def _axes(block: FittedBlock) -> str | None:
    if isinstance(block, FeatureScaling):
        return None
    count = f"{len(block.components)} ax{'i' if len(block.components) == 1 else 'e'}s of"
    if isinstance(block, EmbeddingProjection):
        return f"{count} {len(block.center)} dimensions hold {block.variance_kept:.1%} of the variance"
    return f"{count} {len(block.terms):,} terms hold {block.variance_kept:.1%} of the sum of squares"
