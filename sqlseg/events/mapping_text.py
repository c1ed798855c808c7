"""Writes a proposed mapping as SQL whose comments say what was guessed, and why."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from sqlseg.events.inspection import ColumnProfile, SourceProfile

PLEASE_CHECK = "please check"


@dataclass(frozen=True)
class Line:
    """One column of the SELECT: its expression, and the comment above it."""

    target: str
    sql: str
    columns: tuple[str, ...]
    reason: str
    certain: bool


def mapping_sql(
    profile: SourceProfile, reader: str, lines: Sequence[Line], item: ColumnProfile | None, note: str
) -> str:
    """Return the SELECT of a mapping; `reader` stands behind FROM, `note` below the columns that are left over."""
    used = {name for line in lines for name in line.columns}
    text = [
        *comment(f"Canonical events from {profile.source}, as its columns look to `sqlseg init`."),
        f'-- What the data could not settle is marked "{PLEASE_CHECK}"; everything here is yours to change.',
        "select",
    ]
    for number, line in enumerate(lines):
        origin = f"{', '.join(line.columns)}: " if line.columns else ""
        mark = "" if line.certain else f"{PLEASE_CHECK}: "
        text += comment(f"{mark}{origin}{line.reason}", "    ")
        ending = "," if number < len(lines) - 1 else ""
        text += [f"    {part}" for part in f"{line.sql} as {line.target}{ending}".split("\n")]
    text.append(f"from {reader}")
    codes = [code for code in item.codes_without_digits if code.isprintable()] if item else []
    if item and codes:
        text += comment(
            f"{PLEASE_CHECK}: item codes without digits are often postage, fees and corrections. Without them:"
        )
        text.append(f"-- where coalesce({item.sql}, '') not in ({', '.join(literal(code) for code in codes)})")
    unused = [column for column in profile.columns if column.name not in used]
    if unused:
        text.append("-- Columns of the source that are not used:")
        text += [row for column in unused for row in comment(f"  {described(column)}")]
        text += comment(note) if note else []
    return "\n".join(text) + "\n"


def comment(text: str, indent: str = "") -> list[str]:
    lead = text[: len(text) - len(text.lstrip())]
    plain = " ".join(text.split())  # what a source holds must not end the comment
    return textwrap.wrap(
        plain,
        118,
        initial_indent=f"{indent}-- {lead}",
        subsequent_indent=f"{indent}--   {lead}",
        break_long_words=False,
    )


def described(column: ColumnProfile) -> str:
    values = [value for value, _ in column.choices[:4]] or list(column.examples)
    empty = f", {1 - column.filled_share:.0%} empty" if column.filled_share < 0.995 else ""
    return f"{column.name} {column.type}{empty}: {listed(values)}" if values else f"{column.name} {column.type}, empty"


def listed(values: Sequence[str]) -> str:
    shown = ", ".join(values[:6])
    return f"{shown}, ..." if len(values) > 6 else shown


def is_one_of(word: str, values: Sequence[str]) -> str:
    if len(values) == 1:
        return f"{word} = {literal(values[0])}"
    return f"{word} in ({', '.join(literal(value) for value in values)})"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
