"""What was found: tables of figures, goals with their verdicts, as Markdown and as plain values for JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evaluation.measures import Figure

Verdict = Literal["met", "undecided", "MISSED"]


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a table: a name, its figures by column, and what else to say in words by column."""

    name: str
    figures: dict[str, Figure]
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Table:
    """Figures of one kind; `columns` in order, `digits` after the point."""

    title: str
    subject: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    digits: int = 3

    def markdown(self) -> str:
        """Return the table: the mean, ± the spread over seeds, and the 90% user-bootstrap interval."""
        lines = [f"**{self.title}**", "", *([self.note, ""] if self.note else [])]
        lines += [f"| {self.subject} | {' | '.join(self.columns)} |", "|---|" + "--:|" * len(self.columns)]
        for row in self.rows:
            cells = [self._cell(row, column) for column in self.columns]
            lines.append(f"| {row.name} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def _cell(self, row: Row, column: str) -> str:
        if column in row.words:
            return row.words[column]
        return told(row.figures[column], self.digits) if column in row.figures else ""


@dataclass(frozen=True, eq=False)
class Goal:
    """A goal: a figure that should be at least (or, `at_most`, at most) the target."""

    text: str
    figure: Figure
    target: float
    at_most: bool = False

    @property
    def verdict(self) -> Verdict:
        """Return `met`, `MISSED` where the 90% interval lies wholly on the wrong side, else `undecided`."""
        low, high = self.figure.interval()
        if self.at_most:
            return "met" if self.figure.mean <= self.target else "MISSED" if low > self.target else "undecided"
        return "met" if self.figure.mean >= self.target else "MISSED" if high < self.target else "undecided"


@dataclass(frozen=True, eq=False)
class ShopFindings:
    """All that was found on one shop."""

    name: str
    title: str
    facts: dict[str, Any]
    tables: tuple[Table, ...]
    goals: tuple[Goal, ...]

    def markdown(self) -> str:
        """Return the section of the report."""
        told_facts = "; ".join(f"{name} {value}" for name, value in self.facts.items())
        parts = [f"## {self.title}", f"{told_facts}.", *(table.markdown() for table in self.tables)]
        return "\n\n".join([*parts, *([goals_markdown([self])] if self.goals else [])])

    def plain(self) -> dict[str, Any]:
        """Return numbers, texts and lists, ready for JSON."""
        return {
            "shop": self.title,
            "facts": self.facts,
            "tables": [
                {
                    "title": table.title,
                    "rows": [
                        {
                            table.subject: row.name,
                            **{name: plain_figure(figure) for name, figure in row.figures.items()},
                            **row.words,
                        }
                        for row in table.rows
                    ],
                }
                for table in self.tables
            ],
            "goals": [
                {
                    "goal": goal.text,
                    "target": goal.target,
                    "wanted": "at most" if goal.at_most else "at least",
                    **plain_figure(goal.figure),
                    "verdict": goal.verdict,
                }
                for goal in self.goals
            ],
        }


def goals_markdown(shops: Sequence[ShopFindings]) -> str:
    """Return a table of goals and verdicts, with the shop where there are several."""
    several = len(shops) > 1
    lines = [
        f"|{' shop |' if several else ''} goal | wanted | found, 90% interval | verdict |",
        f"|{'---|' if several else ''}---|--:|--:|---|",
    ]
    for shop in shops:
        for goal in shop.goals:
            sign = "≤" if goal.at_most else "≥"
            place = f" {shop.title} |" if several else ""
            found = told(goal.figure, 3, signed=True)
            lines.append(f"|{place} {goal.text} | {sign} {goal.target:+.3f} | {found} | {goal.verdict} |")
    return "\n".join(lines)


def told(figure: Figure, digits: int, *, signed: bool = False) -> str:
    """Return `0.736 ± 0.001 (0.722 to 0.750)`: mean, spread over seeds, 90% interval over users."""
    form = f"{'+' if signed else ''}.{digits}f"
    low, high = figure.interval()
    spread = f" ± {figure.spread:.{digits}f}" if figure.values.size > 1 else ""
    return f"{figure.mean:{form}}{spread} ({low:{form}} to {high:{form}})"


def plain_figure(figure: Figure) -> dict[str, Any]:
    """Return a figure as numbers."""
    low, high = figure.interval()
    return {
        "mean": round(figure.mean, 5),
        "spread": round(figure.spread, 5),
        "low": round(low, 5),
        "high": round(high, 5),
        "by_seed": [round(float(value), 5) for value in figure.values],
    }
