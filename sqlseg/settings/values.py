"""What the values of `sqlseg.toml` may be: functions that return the checked value, or raise ValueError."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ValidationInfo

from sqlseg.settings.toml_lines import KeyPath

RESERVED_SEGMENTATIONS = {
    *("segmentation", "segment", "membership", "membership_history", "transition", "lineage", "daily", "profile"),
    *("reason", "metric", "drift", "model", "run", "users", "content_profile", "forecast_model", "forecast_measure"),
    *("sentiment_measure", "privacy", "private_segment"),
}
SCHEMAS = {"sqlseg", "stats", "features", "embeddings", "segments", "quality"}
RESERVED_SOURCES = {
    *SCHEMAS,
    *("main", "temp", "system", "memory", "information_schema", "pg_catalog"),
}

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_REFERENCE = re.compile(
    r"(?:(?P<kind>encoder|forecast|content|sentiment):)?(?P<name>[a-z][a-z0-9_]*)@(?P<version>[1-9][0-9]{0,8})"
)
_SPAN = re.compile(r"(?P<number>\d{1,6})\s*(?P<unit>second|minute|hour|day)s?", re.IGNORECASE)
_MEMORY = re.compile(r"(?=.*[1-9])\d+(\.\d+)?\s*(B|[KMGT]i?B)", re.IGNORECASE)


InputKind = Literal["features", "encoder", "forecast", "content", "sentiment"]


@dataclass(frozen=True)
class InputRef:
    """One input of a segmentation: a version of a feature view, an encoder, its forecasts, a content view or a mood."""

    kind: InputKind
    name: str
    version: int

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    def __str__(self) -> str:
        return self.ref if self.kind == "features" else f"{self.kind}:{self.ref}"


def parse_input(text: str) -> InputRef:
    """Return the input that `rfm@1`, `encoder:behavior@1` or `content:category@1` names; `ValueError` for others.

    >>> parse_input("encoder:behavior@1")
    InputRef(kind='encoder', name='behavior', version=1)
    """
    found = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        hint = f"; write {text}@1 for its first version" if isinstance(text, str) and "@" not in text else ""
        raise ValueError(
            'must be "name@version", "encoder:name@version", "forecast:name@version", "content:name@version" or '
            '"sentiment:name@version" (such as "rfm@1"), '
            f"got {text!r}{hint}"
        )
    return InputRef(cast(InputKind, found["kind"] or "features"), found["name"], int(found["version"]))


@dataclass(frozen=True)
class Context:
    """What a value's check needs beside the value: pydantic hands it to every validator."""

    directory: Path
    zone: ZoneInfo
    check_files: bool
    warehouse: Path | None
    lines: Mapping[KeyPath, int]


def nearest(given: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` where one of the known words is close to the given one, else nothing.

    >>> nearest("segmentation", ["segmentations", "sources"])
    '; did you mean segmentations?'
    """
    by_lower = {word.lower(): word for word in known}
    begun = [word for word in by_lower if len(given) >= 3 and word.startswith(given.lower())]
    found = get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6) or begun
    return f"; did you mean {by_lower[found[0]]}?" if found else ""


def absolute(value: object, directory: Path) -> Path:
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be a path in quotes, got {value!r}")
    if "\0" in value:
        raise ValueError("must be a path, got text with a zero byte")
    try:
        path = Path(os.path.normpath(directory / Path(value).expanduser()))
    except RuntimeError as error:
        raise ValueError(f"nobody here is called {Path(value).parts[0]}; write the path of the folder") from error
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return path  # told where the file is needed
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise ValueError(f"must be a path, and {value!r} cannot be one: {told}") from error
    return path


def file_to_write(value: object, info: ValidationInfo[Context]) -> Path:
    path = absolute(value, info.context.directory)
    if path.is_dir():
        raise ValueError(f"must be a file to write, but {path} is a folder")
    return path


def sql_file(value: object, info: ValidationInfo[Context]) -> Path:
    path = absolute(value, info.context.directory)
    if not path.is_relative_to(info.context.directory):
        raise ValueError(f"must be a file within the project ({info.context.directory}), got {value!r}")
    if info.context.check_files and not path.is_file():
        there = {found.stem: found.name for found in sorted(path.parent.glob("*.sql"))}
        suggestion = nearest(path.stem, there).replace("?", ".sql?")
        listed = f"; {path.parent} has {', '.join(there.values())}" if there and not suggestion else ""
        raise ValueError(f"there is no file {path}{suggestion or listed}")
    return path


def source_file(value: object, info: ValidationInfo[Context]) -> Path:
    path = absolute(value, info.context.directory)
    if path == info.context.warehouse:
        raise ValueError("is the warehouse itself, which events.sql reads without a source: take this section out")
    if info.context.check_files and not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def folder(value: object, info: ValidationInfo[Context]) -> Path:
    path = absolute(value, info.context.directory)
    if info.context.check_files and not path.is_dir():
        what = "is a file; name its folder" if path.exists() else "does not exist"
        raise ValueError(f"must be a folder, but {path} {what}")
    return path


def some_of(example: str) -> Callable[[object], tuple[object, ...]]:
    """Return a check for lists with at least one element; TOML has lists, settings hold tuples."""

    def as_tuple(value: object) -> tuple[object, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"must be a list of at least one, such as {example}, got {value!r}")
        return tuple(value)

    return as_tuple


def identifier(value: object, what: str, example: str) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value) or len(value) > 50:
        raise ValueError(
            f"{what} must be lower-case letters, digits and _, starting with a letter, 50 at most (such as {example})"
        )
    return value


def segmentation_name(value: str) -> str:
    identifier(value, "the name of a segmentation", "behavior")
    if version := re.search(r"_v[0-9]+$", value):
        shorter = value[: version.start()]
        raise ValueError(f"the name of a segmentation must not end in _v<digits>, as versions do; call it {shorter}")
    if value in RESERVED_SEGMENTATIONS or value.endswith("_users"):
        raise ValueError(
            f"the name of a segmentation must not be that of a table in the segments schema; call it {value}_groups"
        )
    return value


def source_name(value: str) -> str:
    identifier(value, "the name of a source", "crm")
    if value in RESERVED_SOURCES:
        raise ValueError(f"{value} is a name that sqlseg or DuckDB uses itself; call the source {value}_source")
    return value


def algorithm_name(value: object) -> str:
    return identifier(value, "an algorithm", "kmeans")


def encoder_name(value: str) -> str:
    return identifier(value, "the name of an encoder", "behavior")


def encoder_ref(value: object) -> str:
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found["kind"] is not None:
        raise ValueError(f'must be "name@version" (such as "minilm@1"), got {value!r}')
    return found[0]


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() | {"UTC"})


def time_zone(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'must be the name of a time zone such as "Europe/London", got {value!r}')
    known = _time_zones()
    if value in known:
        return value
    if known == {"UTC"}:
        raise ValueError(f"this Python knows no time zones, so {value!r} cannot be used: pip install tzdata")
    raise ValueError(
        f'must be the name of a time zone such as "Europe/London", got {value!r}{nearest(value, sorted(known))}'
    )


def country(value: object) -> str:
    from holidays.registry import EntityLoader

    known = frozenset(EntityLoader.get_country_codes())  # names them without importing the holidays of all
    if isinstance(value, str) and value in known:
        return value
    upper = value.upper() if isinstance(value, str) else ""
    suggestion = f"; did you mean {upper}?" if upper in known else ""
    raise ValueError(f'must be a country code such as "GB" or "DE" (ISO 3166), got {value!r}{suggestion}')


def memory(value: object) -> str:
    if not isinstance(value, str) or not _MEMORY.fullmatch(value.strip()):
        raise ValueError(f'must be an amount with a unit such as "4GB" or "512MB", got {value!r}')
    return value.strip()


def instant(value: object, info: ValidationInfo[Context]) -> datetime:
    """A moment as UTC without a zone, as event times are; without an offset it is in the project's time zone."""
    moment = value
    if isinstance(moment, str):
        try:
            moment = date.fromisoformat(moment) if len(moment) == 10 else datetime.fromisoformat(moment)
        except ValueError:
            moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        raise ValueError(f"must have a time of day too, such as {moment}T23:59:59, got the day {moment}")
    if not isinstance(moment, datetime):
        raise ValueError(f"must be a date and time such as 2026-01-31T00:00:00Z, got {value!r}")
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=info.context.zone)
    try:
        return zoned.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"must be a time within the calendar, the years 1 to 9999, got {moment}") from error


def span(value: object) -> timedelta:
    """A length of time such as "90 minutes"."""
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f'must be a length of time such as "90 minutes", "1 hour" or "2 days", got {value!r}')
    return timedelta(**{f"{found['unit'].lower()}s": int(found["number"])})


def cluster_count(value: object) -> Literal["auto"] | int:
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ValueError(f'must be "auto" or a whole number of at least 1, got {value!r}')


def kept(value: object) -> int | float:
    """Return how many features are kept: a number of them, or a share."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and 0 < value < 1:
        return value
    raise ValueError(
        f"must be a number of features, such as 10, or a share between 0 and 1, such as 0.5, got {value!r}"
    )


def distinct(inputs: tuple[InputRef, ...]) -> tuple[InputRef, ...]:
    for position, one in enumerate(inputs):
        for other in inputs[:position]:
            if (one.kind, one.name) == (other.kind, other.name):
                raise ValueError(f"names {one.name} twice ({other} and {one}); keep one of them")
    return inputs


def horizons(value: object) -> tuple[int, ...]:
    """Days to look ahead, ascending."""
    days = value if isinstance(value, list) else []
    whole = all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= 730 for one in days)
    if not days or not whole or len(set(days)) != len(days):
        raise ValueError(
            f"must be a list of different whole numbers of days, 1 to 730, such as [30, 90], got {value!r}"
        )
    return tuple(sorted(days))


def feature_views(value: object) -> tuple[InputRef, ...]:
    """Feature views by name and version, each named once."""
    refs = tuple(parse_input(text) for text in value) if isinstance(value, list) else ()
    if not refs or any(ref.kind != "features" for ref in refs):
        raise ValueError(f'must be a list of feature views such as ["rfm@1", "cadence@1"], got {value!r}')
    return distinct(refs)


def published_views(value: object) -> Literal["all"] | tuple[InputRef, ...]:
    if value == "all":
        return "all"
    refs = tuple(parse_input(text) for text in value) if isinstance(value, list) else ()
    if not isinstance(value, list) or any(ref.kind != "features" for ref in refs):
        raise ValueError(f'must be "all" or a list of feature views such as ["rfm@1"], got {value!r}')
    return refs


def web_address(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", value):
        return value
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        usable = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not isinstance(value, str):
        raise ValueError(
            'must be an address such as "https://example.com/hook", or "$NAME" for the environment variable that holds '
            f"one, got {value!r}"
        )
    return value


def tiers(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = tuple(name.strip() for name in value if isinstance(name, str)) if isinstance(value, list) else ()
    if not isinstance(value, list) or len(names) != len(value) or len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f'must be a list of two or more names of segments, the lowest first, as ["Low", "High"], got {value!r}'
        )
    return names


CHECKS = ("freshness", "monotonicity", "size", "drift", "range", "accepted")
"""The kinds of checks that either only warn or keep a result from being published, as the settings say."""


def kinds_of_checks(value: object) -> tuple[str, ...]:
    named = ", ".join(CHECKS)
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"must be a list of kinds of checks ({named}), got {value!r}")
    for one in value:
        if one not in CHECKS:
            raise ValueError(f"there is no kind of checks {one!r}{nearest(one, CHECKS)}; there are {named}")
    return tuple(value)


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text in quotes, got {value!r}")
    return value
