"""A first look at the segments of a published file."""

from pathlib import Path

from sqlseg.cli.console import print_table
from sqlseg.workflow.reading import SegmentRow, segment_overview


def print_overview(published: Path) -> None:
    """Print the segments of each segmentation: size, share of users and revenue, and what sets them apart."""
    for segmentation, segments in segment_overview(published).items():
        with_revenue = any(segment.revenue_share is not None for segment in segments)
        columns = ["segment", "users", "share", *(["revenue"] if with_revenue else []), "what sets it apart"]
        rows = [
            (
                f"{segment.name} ({segment.segment_id})",
                segment.user_count,
                None if segment.share is None else f"{segment.share:.1%}",
                *([_revenue(segment)] if with_revenue else []),
                _without_size(segment.description or ""),
            )
            for segment in segments
        ]
        print_table(f"\n{segmentation}: {len(segments)} segments", columns, rows)


def _revenue(segment: SegmentRow) -> str | None:
    """Return a segment's part of the revenue; None where it is withheld."""
    return None if segment.revenue is None else f"{segment.revenue_share or 0:.1%}"


def _without_size(description: str) -> str:
    return description.rpartition(";")[0] or description
