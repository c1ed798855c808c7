"""Checks on the parsed tree that a view is user-local and gives the same answer at every run."""

from dataclasses import dataclass

from sqlglot import exp

from sqlseg.features.view import Kind


@dataclass(frozen=True)
class Problem:
    """What breaks a rule on a line of a view, and what to write instead."""

    line: int
    message: str
    instead: str


def locality_problems(kind: Kind, tree: exp.Query) -> list[Problem]:
    """Return what breaks the rules, by line."""
    return []
