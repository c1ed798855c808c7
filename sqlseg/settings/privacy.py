"""`[privacy]`: what of a shop reaches the published file, and in which form."""

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, PlainValidator

from sqlseg.settings.section import Amount, Section

_PATTERN = re.compile(r"[A-Za-z0-9_.*?]+")


def _patterns(example: str) -> Callable[[object], tuple[str, ...] | None]:
    """Return a check for lists of names in which * stands for any letters and ? for one."""

    def checked(value: object) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise ValueError(f"must be a list of names such as {example}, got {value!r}")
        for one in value:
            if not _PATTERN.fullmatch(one):
                raise ValueError(f"must hold names of letters, digits, _ and ., with * and ? for any, got {one!r}")
        return tuple(dict.fromkeys(value))

    return checked


def command(value: object) -> tuple[str, ...] | None:
    """A program and its arguments; no shell takes part in it."""
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(
            f'must be a list of a program and its arguments such as ["pass", "show", "shop"], got {value!r}'
        )
    return tuple(value)


def bounds(value: object) -> tuple[float, float] | None:
    """The lowest and the highest amount that one user counts for, in steps of a hundredth."""
    if value is None:
        return None
    numbers = value if isinstance(value, list) else []
    fits = all(isinstance(one, int | float) and not isinstance(one, bool) and abs(one) <= 1e9 for one in numbers)
    if len(numbers) != 2 or not fits or not numbers[0] < numbers[1] or any(round(x, 2) != x for x in numbers):
        raise ValueError(
            "must be two amounts, the lower first, up to 1e9 and with two decimals at most, such as [0, 500], got "
            f"{value!r}"
        )
    return float(numbers[0]), float(numbers[1])


class PrivacySettings(Section):
    """`[privacy]`: what of the shop reaches the published file, and in which form."""

    tables: Annotated[tuple[str, ...] | None, PlainValidator(_patterns('["segments.segment*", "features.rfm*"]'))] = (
        None
    )
    columns: Annotated[tuple[str, ...] | None, PlainValidator(_patterns('["rfm__*", "cadence__orders"]'))] = None
    suppress: bool = False
    min_users: Annotated[int, Field(ge=2)] = 10
    pseudonyms: bool = False
    pseudonym_key_command: Annotated[tuple[str, ...] | None, PlainValidator(command)] = None
    epsilon_budget: Amount | None = None
    revenue_bounds: Annotated[tuple[float, float] | None, PlainValidator(bounds)] = None
    encrypt_warehouse: bool = False
    warehouse_key_command: Annotated[tuple[str, ...] | None, PlainValidator(command)] = None
