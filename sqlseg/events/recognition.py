"""Decides which column of a source is which canonical one, by name first and by content where the name is unclear."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlseg.events.column_names import exact_rank, meaning_of, names_of, partial_rank, squashed
from sqlseg.events.inspection import ColumnProfile, SourceProfile


@dataclass(frozen=True)
class Match:
    """A column taken for a target. `certain` is False where the reader should look at it."""

    column: ColumnProfile
    certain: bool
    reason: str


def number_sql(column: ColumnProfile) -> str:
    """Return the SQL that reads a column as DOUBLE, whatever its notation."""
    if not column.is_text:
        return f"{column.sql}::double"
    if column.comma_share and (column.comma_decimals or not column.decorated_share):
        return f"try_cast(replace(replace({column.sql}, '.', ''), ',', '.') as double)"
    if column.decorated_share:
        return f"try_cast(regexp_replace({column.sql}, '[^0-9.-]', '', 'g') as double)"
    return f"try_cast({column.sql} as double)"


def id_sql(column: ColumnProfile) -> str:
    """Return the SQL that reads a column as an id: text, without the `.0` of whole numbers kept as DOUBLE."""
    if column.point_zero_share > 0.99:
        return (
            f"try_cast({column.sql} as bigint)::varchar"
            if not column.is_text
            else f"regexp_replace({column.sql}, '\\.0$', '')"
        )
    return column.sql if column.is_text else f"{column.sql}::varchar"


def recognised(profile: SourceProfile, taken: frozenset[str]) -> dict[str, Match]:
    """Return the column of each target that the source has, apart from its time; `taken` are columns used for that.

    Names in full win over parts of names, and among several columns the more telling name and the fuller column.
    """
    found: dict[str, Match] = {}
    free = [column for column in profile.columns if column.name not in taken and column.filled_share > 0]
    for rank_of, certain in ((exact_rank, True), (partial_rank, False)):
        for target, fits in _FITS.items():
            if target in found or (target == "rating" and not certain):
                continue
            fitting = _ranked(free, target, rank_of, fits)
            if fitting:
                column = fitting[0]
                found[target] = Match(column, certain, "by its name" if certain else "by a part of its name")
                free.remove(column)
    return _by_content(found, free)


def discounts(profile: SourceProfile, found: Mapping[str, Match]) -> list[ColumnProfile]:
    """Return every column that takes something off a line: shops split discounts by who grants them."""
    if "discount" not in found:
        return []
    return [
        column
        for column in profile.columns
        if exact_rank(column.name, "discount") is not None and column.is_number and not _is_rate(column)
    ] or [found["discount"].column]


def discount_is_rate(column: ColumnProfile) -> bool:
    """Return whether a discount is a share of the price rather than an amount."""
    return _is_rate(column)


def _is_rate(column: ColumnProfile) -> bool:
    named = any(word in squashed(column.name) for word in ("rate", "percent", "pct", "share"))
    low, high = column.minimum or 0.0, column.maximum or 0.0
    return named or (low >= 0 and 0 < high <= 1 and column.whole_share < 1)


def _ranked(
    columns: list[ColumnProfile],
    target: str,
    rank_of: Callable[[str, str], int | None],
    fits: Callable[[ColumnProfile], bool],
) -> list[ColumnProfile]:
    ranks = {column.name: rank_of(column.name, target) for column in columns}
    candidates = [column for column in columns if ranks[column.name] is not None and fits(column)]
    # A column that is mostly empty comes after one that is not, whatever its name.
    return sorted(candidates, key=lambda column: (column.filled_share < 0.3, ranks[column.name]))


def _by_content(found: dict[str, Match], free: list[ColumnProfile]) -> dict[str, Match]:
    """Add what no name gave away but the values do."""
    if "event_type" not in found:
        for column in free:
            known = [count for value, count in column.choices if meaning_of(value)]
            if len(known) >= 2 and sum(known) > 0.5 * sum(count for _, count in column.choices):
                found["event_type"] = Match(column, False, "by its values")
                free.remove(column)
                break
    if "item_id" not in found:
        for column in free:
            if _is_item_code(column):
                found["item_id"] = Match(column, False, "by its values, which look like item codes")
                free.remove(column)
                break
    if "user_id" not in found and "session_id" in found:
        found["user_id"] = Match(found["session_id"].column, False, "the source knows sessions, not users")
    return found


def _is_id(column: ColumnProfile) -> bool:
    not_time = not column.is_time_type and column.time_share < 0.5 and not column.formats
    return not_time and (column.is_text or column.whole_share > 0.999 or not column.is_number)


def _is_item_code(column: ColumnProfile) -> bool:
    """Return whether a column holds codes such as A13: short text with digits, the same on many rows."""
    is_code = column.is_text and column.digit_share > 0.95 and column.average_length < 15
    return is_code and column.distinct > 20 and _is_prose(column) and not column.formats


def _is_order(column: ColumnProfile) -> bool:
    # A column `order` that counts 1, 2, 3 is the sequence of clicks.
    is_sequence = squashed(column.name) in names_of("sequence") and column.is_whole and (column.maximum or 0) < 1000
    return _is_id(column) and not is_sequence


def _is_sequence(column: ColumnProfile) -> bool:
    return column.is_whole and (column.minimum or 0) >= 0 and (column.maximum or 0) < 100_000


def _is_type(column: ColumnProfile) -> bool:
    return bool(column.choices) and (column.is_text or column.is_whole)


def _is_category(column: ColumnProfile) -> bool:
    return not column.is_time_type


def _is_prose(column: ColumnProfile) -> bool:
    return column.is_text and not column.is_number and column.time_share < 0.5


def _is_amount(column: ColumnProfile) -> bool:
    return column.is_number


def _is_time(column: ColumnProfile) -> bool:
    return column.is_time_type or column.time_share > 0.95 or bool(column.formats)


_FITS: Mapping[str, Callable[[ColumnProfile], bool]] = {
    "event_type": _is_type,
    "user_id": _is_id,
    "session_id": _is_id,
    "order_id": _is_order,
    "event_id": _is_id,
    "quantity": _is_amount,
    "price": _is_amount,
    "total": _is_amount,
    "discount": _is_amount,
    "item_id": _is_id,
    "category": _is_category,
    "text": _is_prose,
    "duration": _is_amount,
    "ingested_at": _is_time,
    "rating": _is_amount,
    "name": _is_prose,
}
