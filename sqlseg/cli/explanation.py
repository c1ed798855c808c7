"""Prints where one user stands, why, and what would change it."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from sqlseg.cli.console import print_table, printable, stdout

if TYPE_CHECKING:
    from sqlseg.workflow.one_user import Move, UserInSegmentation


def print_place(place: "UserInSegmentation") -> None:
    """Print one segmentation of a user."""
    console = stdout()
    member = place.membership
    told = f"{member['segmentation']}: {member['segment_name']} ({member['segment_id']})"
    console.print(Text(f"\n{printable(member['user_id'])} ", style="bold"), end="")
    console.print(printable(told), markup=False, soft_wrap=True)
    if place.kind == "rules":
        console.print("by the rule of this segmentation.")
    elif place.runner_up_name is None:
        console.print("the only segment there is.")
    else:
        nearest = "likeliest" if place.kind == "supervised" else "nearest"
        console.print(
            f"confidence {member['confidence']:.2f}; the next {nearest} is {printable(place.runner_up_name)} "
            f"({member['runner_up_segment_id']}).",
            markup=False,
            soft_wrap=True,
        )
        if place.pinned:
            would = "" if member["confidence"] >= 0.5 else f"; by the inputs alone it would be {place.runner_up_name}"
            console.print(printable(f"Pinned to this segment by hand{would}."), markup=False, soft_wrap=True)
        _print_reasons(place)
        if place.pinned:
            console.print("Nothing that the user does changes that.")
        else:
            _print_moves(place.moves)
    stays = [
        (stay["segment_name"], minute(stay["valid_from"]), minute(stay["valid_to"]) or "now", stay["cause"])
        for stay in place.stays
    ]
    print_table("Stays", ["segment", "from", "to", "cause"], stays)


def _print_reasons(place: "UserInSegmentation") -> None:
    from sqlseg.segments.explain import PINNED

    learned = place.kind == "supervised"
    total = sum(reason.contribution for reason in place.reasons)
    rows = [
        (
            reason.feature,
            reason.value,
            reason.segment_mean,
            reason.overall_mean,
            f"x{_times(reason.contribution)}"
            if learned
            else f"{reason.contribution / total:+.0%}"
            if total > 0
            else "",
        )
        for reason in place.reasons[:10]
        if reason.feature != PINNED
    ]
    if learned and place.expected is None:
        return
    if place.expected is not None:
        told = (
            f"Of {place.membership['segment_name']} against {place.runner_up_name}, the odds are "
            f"{_times(place.expected)} to 1 for nobody in particular, and {_times(place.expected + total)} to 1 for "
            "this user (before calibration)."
        )
        stdout().print(printable(told), markup=False, soft_wrap=True)
    print_table(
        "What multiplies these odds: above 1 it holds the user here"
        if learned
        else "What holds the user here (+) and what pulls towards the next segment (-)",
        ["feature", "this user", "segment mean", "all users", "odds" if learned else "part"],
        rows,
    )


def _print_moves(moves: Sequence["Move"]) -> None:
    alone = [move for move in moves if move.feature is not None]
    if alone:
        print_table(
            "\nWhat would move the user, one feature alone and the rest as it is",
            ["feature", "this user", "would need", "then in"],
            [
                (move.feature, move.given, move.value, named_segment(move.segment_name, move.segment_id))
                for move in alone[:5]
            ],
        )
    ahead = [
        f"in {named_segment(move.segment_name, move.segment_id)} "
        f"after {move.days} day{'s'[: move.days != 1]} ({move.date})"
        for move in moves
        if move.days is not None
    ]
    told = ", ".join(ahead) if ahead else "stays here for a year"
    stdout().print(printable(f"If nothing happens: {told}."), markup=False, soft_wrap=True)


def plain_place(place: "UserInSegmentation") -> dict[str, Any]:
    """Return the same for `--json`."""
    return {
        **place.membership,
        "kind": place.kind,
        "runner_up_name": place.runner_up_name,
        "rule_sql": place.rule_sql,
        "expected": place.expected,
        "pinned": place.pinned,
        "reasons": [vars(reason) for reason in place.reasons],
        "moves": [vars(move) for move in place.moves],
        "stays": list(place.stays),
    }


def _times(log_odds: float) -> str:
    """Return odds in words that can be read: 0.25, 3.1, 120.

    >>> [_times(x) for x in (0.0, -1.4, 1.1, 9.0)]
    ['1.0', '0.25', '3.0', '8,103']
    """
    odds = math.exp(min(log_odds, 700.0))
    return f"{odds:,.0f}" if odds >= 10 else f"{odds:.1f}" if odds >= 1 else f"{odds:.2g}"


def named_segment(name: str | None, segment_id: str | None) -> str | None:
    """Return a segment as people read of it: name and id."""
    return segment_id and f"{name} ({segment_id})"


def minute(moment: datetime | None) -> str:
    """Return a moment to the minute."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")
