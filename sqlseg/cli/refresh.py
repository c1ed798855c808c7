"""`sqlseg plan` and `sqlseg refresh`."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sqlseg.cli.console import (
    JsonOption,
    ProjectOption,
    Terminal,
    WaitOption,
    print_error,
    print_json,
    print_json_line,
    print_table,
    printable,
    stderr,
    stdout,
    system_clock,
)
from sqlseg.cli.interrupts import interrupt
from sqlseg.cli.overview import print_overview
from sqlseg.settings import load_settings
from sqlseg.workflow import refresh as workflow
from sqlseg.workflow.outcome import Options, Outcome

if TYPE_CHECKING:
    from sqlseg.workflow.watching import Round, Tally

Refit = Literal["drift", "always", "never"]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="T", help="A date or time to compute as of; else the first midnight after the newest event."
    ),
]
RefitOption = Annotated[
    Refit | None, typer.Option("--refit", help="When to find the segments anew; overrides sqlseg.toml.")
]
OneOption = Annotated[str | None, typer.Option("--segmentation", metavar="NAME", help="This segmentation only.")]
FullOption = Annotated[bool, typer.Option("--full", help="Compute everything, also where nothing seems new.")]
GpuOption = Annotated[bool, typer.Option("--require-gpu", help="Fail where the encoder cannot run on CUDA.")]
AnywayOption = Annotated[
    bool, typer.Option("--publish-anyway", help="Keep and publish a result that fails its checks.")
]
RebuildOption = Annotated[
    bool,
    typer.Option(
        "--rebuild",
        help="First make the warehouse anew, where it is damaged or lost: its history from the published file, all "
        "else from the sources. The old file is kept beside it.",
    ),
]
WatchOption = Annotated[
    float | None,
    typer.Option(
        "--watch",
        metavar="SECONDS",
        min=1,
        max=7 * 24 * 3600,
        help="Refresh every so many seconds until stopped, with the models there are.",
    ),
]

_ACTIONS = {"fit": "find segments anew", "assign": "place users with the model in use", "rules": "run the rule"}


def plan(
    project: ProjectOption = Path(),
    as_of: AsOfOption = None,
    refit: RefitOption = None,
    segmentation: OneOption = None,
    full: FullOption = False,
    require_gpu: GpuOption = False,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Tell what a refresh would do and who would move; changes nothing."""
    options = Options(as_of, refit, segmentation, full, require_gpu, wait=wait)
    outcome = workflow.refresh(project, options, system_clock(), Terminal(), dry=True)
    if json:
        print_json(_summary(outcome))
        return
    console = stdout()
    if outcome.plan.kind == "noop":
        console.print("Nothing is new: a refresh would change nothing.")
        return
    console.print(f"A refresh would be {outcome.plan.kind}, as of {outcome.plan.as_of} UTC.")
    for line in outcome.plan.news:
        console.print(f"- {printable(line)}", markup=False)
    console.print(f"- {printable(outcome.plan.scope)}", markup=False)
    print_table(
        None,
        ["segmentation", "what would happen", "because"],
        [(one.name, _ACTIONS[one.action], "; ".join(one.reasons)) for one in outcome.plan.segmentations],
    )
    _print_moves(outcome, "would move")


def refresh(
    project: ProjectOption = Path(),
    as_of: AsOfOption = None,
    refit: RefitOption = None,
    segmentation: OneOption = None,
    full: FullOption = False,
    require_gpu: GpuOption = False,
    watch: WatchOption = None,
    publish_anyway: AnywayOption = False,
    rebuild: RebuildOption = False,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Bring features, embeddings and segments up to date, and publish them."""
    if watch is not None:
        if as_of is not None or full or rebuild or refit not in (None, "never"):
            told = "goes with none of --as-of, --full, --rebuild and --refit: it takes what is new as it comes."
            raise typer.BadParameter(told)
        _watch(
            project, Options(None, "never", segmentation, False, require_gpu, publish_anyway, wait), watch, json=json
        )
        return
    options = Options(as_of, refit, segmentation, full, require_gpu, publish_anyway, wait, rebuild)
    outcome = workflow.refresh(project, options, system_clock(), Terminal())
    if json:
        print_json(_summary(outcome))
        return
    print_outcome(outcome)
    if outcome.published is not None:
        print_overview(outcome.published)


def _watch(project: Path, options: Options, every: float, *, json: bool) -> None:
    from sqlseg.workflow.monitoring import Monitor
    from sqlseg.workflow.watching import watch

    narrator = Terminal()
    monitor = Monitor.of(load_settings(project), narrator)
    tell = _round_as_json if json else _print_round

    def hear(one: "Round", tally: "Tally") -> None:
        tell(one)
        monitor.hear(one, tally)

    # What a service manager sends to stop a program: the same as Ctrl-C, a round under way is undone.
    signal.signal(signal.SIGTERM, interrupt)
    tally = watch(project, options, system_clock(), narrator, every=every, wait=time.sleep, tell=hear)
    stderr.print(
        f"Stopped. Rounds: {tally.done + tally.noop + tally.failed:,}, of which {tally.done:,} with something new, "
        f"{tally.noop:,} without, {tally.failed:,} failed.",
        soft_wrap=True,
    )


def _print_round(one: "Round") -> None:
    at = f"{one.finished_at:%Y-%m-%d %H:%M:%S}"
    if one.error is not None:
        stderr.print(f"{at} UTC: round {one.number} failed; the next one is in {one.pause:,.0f} s.")
        print_error(one.error)
        return
    outcome = one.outcome
    if outcome is None or (outcome.plan.kind == "noop" and outcome.published is None):
        return
    moves = [move for move in outcome.moves if move.cause != "first_seen"]
    told = [
        f"{outcome.plan.changes.events_new:,} new events",
        f"{sum(move.user_count for move in moves):,} users moved",
        f"published in {one.seconds:.1f} s",
    ]
    stdout().print(f"{at} UTC: {', '.join(told)}.", soft_wrap=True)
    for move in moves[:5]:
        way = f"{move.from_segment or '(none)'} -> {move.to_segment or '(gone)'}"
        line = printable(f"  {move.user_count:,} {move.segmentation}: {way} ({move.cause})")
        stdout().print(line, markup=False, soft_wrap=True)
    if len(moves) > 5:
        stdout().print(f"  ... and {len(moves) - 5} smaller moves; see segments.transition.")


def _round_as_json(one: "Round") -> None:
    said = {"round": one.number, "at": one.finished_at, "round_seconds": round(one.seconds, 3)}
    if one.error is not None:
        print_json_line({**said, "status": "failed", "error": one.error.message, "next_in_seconds": one.pause})
    elif one.outcome is not None:
        print_json_line({**said, "status": "done", **_summary(one.outcome)})


def print_outcome(outcome: Outcome) -> None:
    """Say what a refresh did."""
    console = stdout()
    if outcome.plan.kind == "noop":
        console.print("Nothing is new since the last refresh; the published file is as it was.")
        if outcome.published is not None:
            console.print(f"It had not been published yet: {outcome.published}", markup=False, soft_wrap=True)
        return
    for note in outcome.notes:
        stderr.print(f"- {printable(note)}", markup=False, soft_wrap=True)
    seconds = sum(outcome.seconds.values())
    console.print(
        f"Refreshed as of {outcome.plan.as_of} UTC ({outcome.plan.kind}, {seconds:.1f} s): "
        f"{outcome.plan.staged.accepted:,} events of {outcome.users_total:,} users, "
        f"{outcome.users_embedded:,} users embedded{f' on {outcome.provider}' if outcome.provider else ''}.",
        soft_wrap=True,
    )
    if outcome.plan.kind != "cold":
        _print_moves(outcome, "moved")


def _print_moves(outcome: Outcome, verb: str) -> None:
    moves = [move for move in outcome.moves if move.cause != "first_seen"]
    new = sum(move.user_count for move in outcome.moves if move.cause == "first_seen")
    if new:
        stdout().print(f"{new:,} memberships begin with users seen for the first time.")
    if moves:
        print_table(
            f"Who {verb}",
            ["segmentation", "from", "to", "cause", "users"],
            [
                (m.segmentation, m.from_segment or "(none)", m.to_segment or "(gone)", m.cause, m.user_count)
                for m in moves[:20]
            ],
        )
        if len(moves) > 20:
            stdout().print(f"... and {len(moves) - 20} smaller moves; see segments.transition.")
    elif outcome.plan.kind != "cold":
        stdout().print(f"Nobody {verb} between segments.")


def _summary(outcome: Outcome) -> dict[str, object]:
    plan = outcome.plan
    return {
        "run_id": outcome.run_id,
        "kind": plan.kind,
        "as_of": plan.as_of,
        "data_through": plan.data_through,
        "news": plan.news,
        "computed_for_all_because": plan.everyone_because,
        "events": {
            "accepted": plan.staged.accepted,
            "new": plan.changes.events_new,
            "late": plan.changes.events_late,
            "gone": plan.changes.events_gone,
            "rejected": plan.staged.rejected,
        },
        "segmentations": [
            {"segmentation": one.name, "action": one.action, "reasons": one.reasons} for one in plan.segmentations
        ],
        "users_total": outcome.users_total,
        "users_embedded": outcome.users_embedded,
        "users_moved": outcome.users_moved,
        "provider": outcome.provider,
        "moves": [vars(move) for move in outcome.moves],
        "published": outcome.published,
        "seconds": outcome.seconds,
    }
