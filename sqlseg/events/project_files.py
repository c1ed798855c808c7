"""The files of a new project, as text, and the one function that writes them."""

import json
from collections.abc import Mapping
from pathlib import Path

from sqlseg.errors import SqlsegError
from sqlseg.events.proposal import Proposal
from sqlseg.resources import sql_text

_TIERS = (
    'tiers = ["Lowest fifth by spend", "Fourth fifth by spend", "Middle fifth by spend", "Second fifth by spend",',
    '         "Top fifth by spend"]   # the lowest first; `sqlseg check` holds users to it',
)
_ENCODER = "encoder:behavior@1"


class ProjectExists(SqlsegError):
    """A new project would overwrite files that are there."""

    def __init__(self, directory: Path, files: list[Path]) -> None:
        listed = ", ".join(file.as_posix() for file in files)
        super().__init__(
            f"{directory} already has {listed}; nothing was written.",
            hint="Choose another folder, or move these files away first.",
        )


def default_inputs(proposal: Proposal | None) -> tuple[str, ...]:
    """Return the shipped views and the encoder that fit a shop's events; those of buyers without a proposal."""
    if proposal is None:
        return ("rfm@1", "cadence@1", "basket@1", "trend@1", _ENCODER)
    kinds = set(proposal.event_types)
    looks = bool(kinds & {"view", "search", "cart", "favorite"})
    targets = {guess.target for guess in proposal.guesses}
    inputs: list[str] = []
    if proposal.has_revenue:
        inputs = ["rfm@1", "cadence@1", "basket@1", "trend@1", *(["funnel@1"] if looks else [])]
    else:
        inputs = ["sessions@1"]
        inputs += ["cadence@1"] if "purchase" in kinds else []
        inputs += ["funnel@1"] if "purchase" in kinds and looks else []
        inputs += ["rhythm@1"] if proposal.has_clock else []
        inputs += ["affinity@1"] if "category" in targets else []
    return (*inputs, _ENCODER)


def project_files(name: str, proposal: Proposal | None) -> Mapping[Path, str]:
    """Return the files of a new project, by their path within it; without a proposal, a template to fill in.

    >>> sorted(path.as_posix() for path in project_files("shop", None))
    ['sql/events.sql', 'sql/segments/value.sql', 'sqlseg.toml']
    """
    files = {
        Path("sqlseg.toml"): _settings_text(name, proposal),
        Path("sql/events.sql"): proposal.sql if proposal else sql_text("steps/init/events.sql"),
    }
    if proposal and proposal.items_sql:
        files[Path("sql/items.sql")] = proposal.items_sql
    if proposal is None or proposal.has_revenue:
        files[Path("sql/segments/value.sql")] = sql_text("steps/init/value.sql")
    return files


def write_project(directory: Path, files: Mapping[Path, str]) -> None:
    """Write the files of a new project. Raises ProjectExists before it writes anything, where one is there."""
    existing = [path for path in files if (directory / path).exists()]
    if existing:
        raise ProjectExists(directory, existing)
    try:
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            with (directory / path).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except FileExistsError as error:
        raise ProjectExists(directory, [Path(str(error.filename))]) from error
    except OSError as error:
        raise SqlsegError(
            f"The project cannot be written to {directory}: {error.strerror} ({error.filename})."
        ) from error


def _settings_text(name: str, proposal: Proposal | None) -> str:
    parts = [
        "[project]",
        f"name = {_toml(name)}",
        f"timezone = {_toml(proposal.timezone if proposal else 'UTC')}          "
        '# where days begin: "Europe/London"; hours and weekdays are told by it',
        '# country = "GB"          # whose public holidays count as such',
        "seed = 0                  # the same seed, the same segments",
        "",
        "[warehouse]",
        'path = "warehouse.duckdb"                # sqlseg alone opens it for writing',
        'published = "published/customer_segments.duckdb"  # what people and BI tools open, read-only',
        '# memory_limit = "4GB"',
        "# threads = 2",
        "",
        *_source_text(proposal),
        "[events]",
        'sql = "sql/events.sql"',
        *(
            [f"paths = {_toml_list(proposal.paths)}  # folders that the SQL may read"]
            if proposal and proposal.paths
            else []
        ),
        "# max_quantity = 1000                    # rows with more go to quarantine",
        "# exported_at = 2026-01-31T00:00:00Z     # so do rows with a later time",
        "",
        "[segmentations.behavior]",
        'kind = "cluster"',
        f"inputs = {_toml_list(default_inputs(proposal))}",
        'algorithm = "kmeans"',
        'k = "auto"                # or a number of segments',
        'refit = "drift"           # drift | always | never',
        "",
    ]
    if proposal is None or proposal.has_revenue:
        parts += ["[segmentations.value]", 'kind = "rules"', 'sql = "sql/segments/value.sql"', *_TIERS, ""]
        parts += [
            "# Groups by what users will do next, learned from the shop's own past: better at telling later spend than",
            "# habits are. Wants 90 days of purchases for 30 days ahead, 210 for 90.",
            "# [segmentations.prospects]",
            '# kind = "cluster"',
            '# inputs = ["forecast:behavior@1", "encoder:behavior@1"]',
            '# weights = { "forecast:behavior@1" = 3.0 }',
            "",
        ]
    parts += ["[encoders.behavior]", 'device = "auto"           # auto | cpu | cuda', ""]
    return "\n".join(parts)


def _source_text(proposal: Proposal | None) -> list[str]:
    if proposal and proposal.database:
        alias, kind, path = proposal.database
        return [
            f"[sources.{alias}]          # attached read-only",
            f"type = {_toml(kind)}",
            f"path = {_toml(path)}",
            "",
        ]
    if proposal:
        return []
    return [
        "# [sources.crm]           # a database to attach read-only",
        '# type = "duckdb"',
        '# path = "crm.duckdb"',
        "",
    ]


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _toml_list(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(_toml(text) for text in texts)}]"
