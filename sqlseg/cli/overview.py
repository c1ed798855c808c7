"""A first look at the segments of a published file."""

from pathlib import Path

from sqlseg.cli.console import print_table
from sqlseg.workflow.reading import segment_overview


def print_overview(published: Path) -> None:
    """Print the segments of each segmentation: size, share of users and revenue, and what sets them apart."""
    for segmentation, segments in segment_overview(published).items():
        with_revenue = any(segment.revenue_share is not None for segment in segments)
        columns = ["segment", "users", "share", *(["revenue"] if with_revenue else []), "what sets it apart"]
        rows = [
            (
                f"{segment.name} ({segment.segment_id})",
                segment.user_count,
                f"{segment.share:.1%}",
                *([f"{segment.revenue_share or 0:.1%}"] if with_revenue else []),
                segment.description.rpartition(";")[0] or segment.description,
            )
            for segment in segments
        ]
        print_table(f"\n{segmentation}: {len(segments)} segments", columns, rows)
