"""The files of a new project, as text, and the one function that writes them."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlseg.errors import SqlsegError
from sqlseg.events.proposal import Proposal
from sqlseg.resources import sql_text

_TIERS = (
    'tiers = ["Lowest fifth by spend", "Fourth fifth by spend", "Middle fifth by spend", "Second fifth by spend",',
    '         "Top fifth by spend"]   # the lowest first; `sqlseg check` holds users to it',
)
_ENCODER, _FORECAST = "encoder:behavior@3", "forecast:behavior@3"
_OF_FORECASTS = (_FORECAST, "rfm@1", _ENCODER)
_WEIGHTS = {_FORECAST: 3.0, "rfm@1": 0.5, _ENCODER: 0.5}


class ProjectExists(SqlsegError):
    """A new project would overwrite files that are there."""

    def __init__(self, directory: Path, files: list[Path]) -> None:
        listed = ", ".join(file.as_posix() for file in files)
        super().__init__(
            f"{directory} already has {listed}; nothing was written.",
            hint="Choose another folder, or move these files away first.",
        )


@dataclass(frozen=True)
class Foresight:
    """What a shop's past says about forecasts: the horizons, in days, that can be learned, and why others cannot."""

    horizons: tuple[int, ...] = ()
    refusals: tuple[str, ...] = ()


def default_inputs(proposal: Proposal | None, foresight: Foresight | None = None) -> tuple[str, ...]:
    """Return the inputs that fit a shop's events: forecasts where its past supports them, else how people shop.

    Without a proposal, the views of buyers.
    """
    if foresight is not None and foresight.horizons:
        return _OF_FORECASTS
    if proposal is None:
        return ("rfm@1", "cadence@1", "basket@1", "trend@2", _ENCODER)
    kinds = set(proposal.event_types)
    looks = bool(kinds & {"view", "search", "cart", "favorite"})
    targets = {guess.target for guess in proposal.guesses}
    inputs: list[str] = []
    if proposal.has_revenue:
        inputs = ["rfm@1", "cadence@1", "basket@1", "trend@2", *(["funnel@1"] if looks else [])]
    else:
        inputs = ["sessions@1"]
        inputs += ["cadence@1"] if "purchase" in kinds else []
        inputs += ["funnel@1"] if "purchase" in kinds and looks else []
        inputs += ["rhythm@1"] if proposal.has_clock else []
        inputs += ["affinity@1"] if "category" in targets else []
    return (*inputs, _ENCODER)


def project_files(name: str, proposal: Proposal | None, foresight: Foresight | None = None) -> Mapping[Path, str]:
    """Return the files of a new project, by their path within it; without a proposal, a template to fill in.

    `foresight` says which forecasts the source's past supports; None stands for none that is known.

    >>> sorted(path.as_posix() for path in project_files("shop", None))
    ['sql/events.sql', 'sql/segments/value.sql', 'sqlseg.toml']
    """
    files = {
        Path("sqlseg.toml"): _settings_text(name, proposal, foresight),
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


def _settings_text(name: str, proposal: Proposal | None, foresight: Foresight | None) -> str:
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
        *_inputs_text(proposal, foresight),
        'algorithm = "kmeans"',
        'k = "auto"                # or a number of segments',
        'refit = "drift"           # drift | always | never',
        "",
    ]
    if proposal is None or proposal.has_revenue:
        parts += ["[segmentations.value]", 'kind = "rules"', 'sql = "sql/segments/value.sql"', *_TIERS, ""]
        if foresight is not None and foresight.horizons:
            parts += [
                "# Groups by how people shop alone, whatever they may do next.",
                "# [segmentations.habits]",
                '# kind = "cluster"',
                f"# inputs = {_toml_list(default_inputs(proposal))}",
                "",
            ]
    parts += ["[encoders.behavior]", 'device = "auto"           # auto | cpu | cuda', ""]
    return "\n".join(parts)


def _inputs_text(proposal: Proposal | None, foresight: Foresight | None) -> list[str]:
    """Return the lines of `inputs` and `weights`, after a comment that says why these."""
    chosen = f"inputs = {_toml_list(default_inputs(proposal, foresight))}"
    weights = ", ".join(f"{_toml(name)} = {weight}" for name, weight in _WEIGHTS.items())
    with_forecasts = [f"inputs = {_toml_list(_OF_FORECASTS)}", f"weights = {{ {weights} }}"]
    if foresight is not None and foresight.horizons:
        days = " and ".join(str(horizon) for horizon in foresight.horizons)
        why = (
            f"What users will do in the next {days} days, learned from the shop's own past, counts most; beside it "
            "what they have bought, and how they act. Such groups tell later spend best."
        )
        return [*_comment(why), *with_forecasts]
    if proposal is not None and "purchase" not in proposal.event_types:
        return [*_comment("How users act. Without purchases there is nothing to forecast."), chosen]
    reason = "; ".join(foresight.refusals) if foresight is not None else ""
    known = f"cannot be learned yet: {reason}" if reason else "want 90 days of purchases for 30 days ahead, 210 for 90"
    why = f"How people shop. Forecasts of what they will do tell later spend better, and {known}. Once they can be had:"
    return [*_comment(why), *(f"# {line}" for line in with_forecasts), chosen]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 118)]


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
