"""Reads the documentation and the column tags that a view's comments hold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlseg.sqltext import Comment, literal

CheckKind = Literal["unique", "not_null", "range", "accepted"]
KNOWN_TAGS = ("unique", "not_null", "range", "accepted", "default", "high", "low")

_TAG = re.compile(r"(?<!\S)#([A-Za-z_]+)")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_TEXT = re.compile(r"'((?:[^']|'')*)'", re.DOTALL)
_GRAIN = re.compile(r"grain:\s*(.+)", re.IGNORECASE)


class TagError(ValueError):
    """A column tag is not written as it should be; the reader of the file adds where."""


@dataclass(frozen=True)
class Check:
    """What a column's values must satisfy; arguments are SQL literals, an open end of a range is None."""

    kind: CheckKind
    arguments: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class ColumnTags:
    """All that the comment of an output column says."""

    description: str = ""
    checks: tuple[Check, ...] = ()
    default: str | None = None
    high: str | None = None
    low: str | None = None


@dataclass(frozen=True)
class Header:
    """What the comment on top of a view says; `grain` is None where it names none."""

    summary: str
    description: str
    grain: str | None


def read_header(lines: Sequence[str]) -> Header:
    """Return the summary (the first sentence), the rest and the grain of a view's header comment.

    >>> read_header(["Recency of buyers.", "Days are local.", "grain: user_id"])
    Header(summary='Recency of buyers.', description='Days are local.', grain='user_id')
    """
    grain = None
    kept = []
    for line in lines:
        if found := _GRAIN.fullmatch(line):
            grain = found[1].strip()
        else:
            kept.append(line)
    text = "\n".join(kept).strip()
    end = re.search(r"[.!?](?=\s|$)", text)
    summary, rest = (text[: end.end()], text[end.end() :]) if end else (text, "")
    return Header(" ".join(summary.split()), rest.strip(), grain)


def read_tags(comment: str) -> ColumnTags:
    """Return what the comment of an output column says.

    >>> read_tags("#range(0,) #default(0) #high(lapsed) since the last purchase")
    ... # doctest: +NORMALIZE_WHITESPACE
    ColumnTags(description='since the last purchase', checks=(Check(kind='range', arguments=('0', None)),),
        default='0', high='lapsed', low=None)
    """
    checks: list[Check] = []
    values: dict[str, str] = {}
    description = ""
    seen: set[str] = set()
    end = 0
    for match in _TAG.finditer(comment):
        if match.start() < end:
            continue
        description += comment[end : match.start()]
        tag = match[1].lower()
        if tag not in KNOWN_TAGS:
            raise TagError(f"#{match[1]} is no tag; there are {', '.join('#' + known for known in KNOWN_TAGS)}")
        if tag in seen:
            raise TagError(f"#{tag} stands here twice")
        seen.add(tag)
        argument, end = _argument(comment, match.end(), tag)
        if tag in ("unique", "not_null"):
            if argument is not None:
                raise TagError(f"#{tag} takes nothing in parentheses")
            checks.append(Check("unique" if tag == "unique" else "not_null"))
        elif argument is None or not argument.strip():
            raise TagError(f"#{tag} wants something in parentheses: {_EXAMPLES[tag]}")
        elif tag == "range":
            checks.append(Check("range", _bounds(argument)))
        elif tag == "accepted":
            checks.append(Check("accepted", tuple(_accepted(part) for part in _split(argument))))
        elif tag == "default":
            values["default"] = _constant(argument)
        else:
            values[tag] = " ".join(argument.split())
    description += comment[end:]
    return ColumnTags(" ".join(description.split()), tuple(checks), **values)


def column_comments(comments: Sequence[Comment]) -> dict[int, str]:
    """Return the comment that trails each line of code, with the comment lines below that are aligned with it."""
    texts: dict[int, str] = {}
    above: Comment | None = None
    first = 0
    for comment in comments:
        if comment.trailing:
            texts[comment.line] = comment.text
            above, first = comment, comment.line
        elif above is not None and comment.line == above.line + 1 and comment.column >= above.column:
            texts[first] += f" {comment.text}"
            above = Comment(comment.line, above.column, comment.text, False)
        else:
            above = None
    return texts


def holds_tag(comment: str) -> bool:
    """Return whether a comment holds a known tag.

    >>> holds_tag("#default(0) orders"), holds_tag("the #1 item")
    (True, False)
    """
    return any(match[1].lower() in KNOWN_TAGS for match in _TAG.finditer(comment))


_EXAMPLES = {
    "range": "#range(0,1), or #range(0,) without an upper end",
    "accepted": "#accepted('new','returning')",
    "default": "#default(0)",
    "high": "#high(lapsed)",
    "low": "#low(recent)",
}


def _argument(comment: str, start: int, tag: str) -> tuple[str | None, int]:
    if not comment.startswith("(", start):
        return None, start
    depth = 0
    position = start
    while position < len(comment):
        if (text := _TEXT.match(comment, position)) and tag in ("accepted", "default"):
            position = text.end()
            continue
        depth += {"(": 1, ")": -1}.get(comment[position], 0)
        position += 1
        if depth == 0:
            return comment[start + 1 : position - 1], position
    raise TagError(f"#{tag}( is not closed")


def _split(argument: str) -> list[str]:
    parts = [""]
    for piece in re.findall(r"'(?:[^']|'')*'|,|[^',]+|'", argument):
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts]


def _bounds(argument: str) -> tuple[str | None, str | None]:
    parts = _split(argument)
    if len(parts) != 2 or not all(part == "" or _NUMBER.fullmatch(part) for part in parts) or parts == ["", ""]:
        raise TagError(f"#range({argument}) wants two numbers, of which one may be left out: {_EXAMPLES['range']}")
    low, high = parts
    if low and high and float(low) > float(high):
        raise TagError(f"#range({argument}) has nothing between its ends")
    return low or None, high or None


def _accepted(part: str) -> str:
    if not part:
        raise TagError(f"#accepted has an empty value; write {_EXAMPLES['accepted']}")
    return part if _NUMBER.fullmatch(part) or _TEXT.fullmatch(part) else literal(part)


def _constant(argument: str) -> str:
    value = argument.strip()
    if _NUMBER.fullmatch(value) or _TEXT.fullmatch(value):
        return value
    if value.lower() in ("true", "false"):
        return value.upper()
    raise TagError(f"#default({argument}) wants a number, true, false or a 'text' in quotes")
