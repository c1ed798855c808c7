"""Proposes how a source becomes canonical events, and writes that as SQL that says what was guessed and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlseg.errors import SqlsegError
from sqlseg.events.column_names import exact_rank, meaning_of, squashed
from sqlseg.events.event_times import EventTime, event_time, time_sql
from sqlseg.events.inspection import Source, SourceProfile, relation_sql
from sqlseg.events.mapping_text import Line, described, is_one_of, listed, mapping_sql
from sqlseg.events.recognition import Match, discount_is_rate, discounts, id_sql, number_sql, recognised

_ALIASES_TO_AVOID = {
    *("sqlseg", "stats", "features", "embeddings", "segments", "quality"),
    *("main", "temp", "system", "memory", "warehouse", "information_schema", "pg_catalog"),
}
# Numbers that stand for events in well-known exports, by the values of the column.
_CODES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("1", "2", "3", "4"): ("view", "favorite", "cart", "purchase"),
    ("0", "1", "2", "3"): ("view", "cart", "purchase", "favorite"),
}


class UnrecognisedSource(SqlsegError):
    """No column of a source looks like a user or a time."""

    def __init__(self, profile: SourceProfile) -> None:
        listed = "\n".join(f"  {described(column)}" for column in profile.columns[:40])
        super().__init__(
            f"Nothing in {profile.source} looks like a user or the time of an event. Its columns:\n{listed}",
            hint="Give the columns telling names (user_id, event_time, event_type, ...), for instance in a view; "
            "or run `sqlseg init` without --events and fill in sql/events.sql by hand.",
        )


@dataclass(frozen=True)
class Guess:
    """What a source column (or several) was taken for, and why. `certain` is False where somebody should look."""

    column: str
    target: str
    reason: str
    certain: bool


@dataclass(frozen=True)
class Proposal:
    """The mapping of a source: SQL for events and items, and what the settings must say for it to run."""

    sql: str
    items_sql: str | None
    guesses: tuple[Guess, ...]
    unused: tuple[str, ...]
    event_types: tuple[str, ...]
    has_revenue: bool
    has_clock: bool
    is_zoned: bool
    paths: tuple[str, ...] = ()
    database: tuple[str, str, str] | None = None
    """Alias, type and path of the database to attach."""
    timezone: str = "UTC"


def propose_events(profile: SourceProfile, directory: Path) -> Proposal:
    """Return how the source could be read by a project in `directory`. Raises UnrecognisedSource."""
    time = event_time(profile)
    found = recognised(profile, frozenset(time.columns if time else ()))
    if time is None and "user_id" not in found:
        raise UnrecognisedSource(profile)
    kind_line, kinds = _event_type(profile, found, time)
    lines = [
        _id_line("user_id", found.get("user_id")),
        _time_line(time),
        kind_line,
        *(_id_line(target, found.get(target)) for target in ("event_id", "item_id", "category")),
        *(_id_line(target, found.get(target)) for target in ("order_id", "session_id", "text")),
        *_money(profile, found),
        *_plain_number("duration", found.get("duration")),
        *_ingested(found.get("ingested_at")),
    ]
    kept = [line for line in lines if line.columns or line.target in ("user_id", "event_time", "event_type")]
    used = {name for line in kept for name in line.columns}
    reader = _reader(profile, directory)
    items = _items_sql(found, reader)
    item = found.get("item_id")
    item_names = {found["name"].column.name} if items else set()
    note = "What describes a user may go into sql/users.sql (one row a user_id)."
    note += f" {found['name'].column.name} is the name of items in sql/items.sql." if items else ""
    guesses = [Guess(", ".join(one.columns), one.target, one.reason, one.certain) for one in kept]
    if items:
        guesses.append(Guess(found["name"].column.name, "items.name", found["name"].reason, found["name"].certain))
    unused = tuple(column.name for column in profile.columns if column.name not in used | item_names)
    database = _database(profile.source, directory)
    return Proposal(
        sql=mapping_sql(profile, reader, kept, item.column if item else None, note),
        items_sql=items,
        guesses=tuple(guesses),
        unused=unused,
        event_types=kinds,
        has_revenue="purchase" in kinds and ("price" in found or "total" in found),
        has_clock=time is not None and time.has_clock,
        is_zoned=time is not None and time.zoned,
        paths=() if profile.source.table else _paths(profile.source, directory),
        database=database,
    )


# --- single columns --------------------------------------------------------------------------------------------------


def _id_line(target: str, match: Match | None) -> Line:
    if match is None:
        return Line(target, "null::varchar", (), "no column looks like one: fill in", False)
    column, certain, reason = match.column, match.certain, match.reason
    if target == "user_id" and column.filled_share < 1:
        reason += f"; {1 - column.filled_share:.0%} of the rows have none and go to quarantine"
    if target == "user_id" and exact_rank(column.name, "session_id") is not None:
        reason, certain = "the source knows sessions, not users: every session is taken as a user", False
    if target == "user_id" and "email" in squashed(column.name):
        reason, certain = f"{reason}; an address is personal: sha256({column.sql}) would do as well", False
    if target == "order_id" and 0 < column.cancelled_share < 0.5:
        reason += "; numbers that start with C are cancellations"
    return Line(target, id_sql(column), (column.name,), reason, certain)


def _time_line(time: EventTime | None) -> Line:
    if time is None:
        return Line("event_time", "null::timestamp", (), "no column looks like a time: fill in", False)
    reason, certain = time.reason, time.certain
    if not time.zoned and time.has_clock:
        reason += "; taken as UTC. A clock of another zone: (...) at time zone 'Europe/London' at time zone 'UTC'"
        certain = False
    return Line("event_time", time.sql, time.columns, reason, certain)


def _plain_number(target: str, match: Match | None) -> list[Line]:
    if match is None:
        return []
    column = match.column
    in_milliseconds = squashed(column.name).endswith(("ms", "msec", "millis", "milliseconds"))
    sql = number_sql(column) + (" / 1000" if in_milliseconds else "")
    reason = match.reason + ("; milliseconds to seconds" if in_milliseconds else "")
    return [Line(target, sql, (column.name,), reason, match.certain)]


def _ingested(match: Match | None) -> list[Line]:
    sql = time_sql(match.column) if match else None
    return [Line("ingested_at", sql, (match.column.name,), match.reason, match.certain)] if match and sql else []


# --- what happened ---------------------------------------------------------------------------------------------------


def _event_type(
    profile: SourceProfile, found: Mapping[str, Match], time: EventTime | None
) -> tuple[Line, tuple[str, ...]]:
    returned = _returned(found)
    if "event_type" in found:
        return _translated(found["event_type"], returned)
    kind, reason, certain = _only_kind(profile, found, time)
    if kind != "purchase" or returned is None:
        return Line("event_type", f"'{kind}'", (), reason, certain), (kind,)
    condition, why = returned
    sql = f"case when {condition} then 'return' else 'purchase' end"
    return Line("event_type", sql, (), f"{reason}; {why}", certain), ("purchase", "return")


def _only_kind(profile: SourceProfile, found: Mapping[str, Match], time: EventTime | None) -> tuple[str, str, bool]:
    """Return the one type of all events of a source without a type column, why, and how sure that is."""
    file = squashed(profile.source.location.stem + (profile.source.table[1] if profile.source.table else ""))
    if "quantity" in found or "total" in found or "order_id" in found:
        what = next(target for target in ("quantity", "total", "order_id") if target in found)
        return "purchase", f"no column says what happened; {found[what].column.name} speaks of purchases", True
    if "rating" in found:
        return "review", f"no column says what happened; {found['rating'].column.name} speaks of reviews", True
    clicks = time is not None and any(exact_rank(name, "sequence") is not None for name in time.columns)
    if clicks or "session_id" in found or any(word in file for word in ("click", "view", "visit", "browse")):
        return "view", "no column says what happened; nothing speaks of orders, so these are taken as clicks", False
    if "price" in found or any(word in file for word in ("purchase", "order", "sale", "transaction", "invoice")):
        return "purchase", "no column says what happened; taken as purchases", False
    return "view", "no column says what happened; nothing speaks of orders, so these are taken as views", False


def _translated(match: Match, returned: tuple[str, str] | None) -> tuple[Line, tuple[str, ...]]:
    column = match.column
    values = [value for value, _ in column.choices]
    codes = _CODES.get(tuple(sorted(values)))
    meanings = (
        dict(zip(sorted(values), codes, strict=True)) if codes else {value: meaning_of(value) for value in values}
    )
    word = column.sql if column.is_text else f"{column.sql}::varchar"
    by_kind: dict[str, list[str]] = {}
    for value in values:
        if meaning := meanings[value]:
            by_kind.setdefault(meaning, []).append(value)
    others = [value for value in values if not meanings[value]]
    rest = "" if not others else f"; kept as they are: {listed(others)}"
    renamed = {kind: words for kind, words in by_kind.items() if words != [kind]}
    reason, certain = match.reason + rest, match.certain and not codes and not (others and not by_kind)
    if codes:
        reason += "; the numbers are read as in other exports like it"
    branches = [f"when {is_one_of(word, words)} then '{kind}'" for kind, words in renamed.items()]
    columns = (column.name,)
    if returned and "purchase" in by_kind:
        branches.insert(0, f"when {is_one_of(word, by_kind['purchase'])} and ({returned[0]}) then 'return'")
        reason += f"; {returned[1]}"
        by_kind.setdefault("return", [])
    sql = (
        word
        if not branches
        else "\n".join(["case", *(f"    {one}" for one in branches), f"    else lower({word})", "end"])
    )
    return Line("event_type", sql, columns, reason, certain), (*by_kind, *(one.lower() for one in others))


def _returned(found: Mapping[str, Match]) -> tuple[str, str] | None:
    """Return the condition under which a purchase line is a return, and how it was found."""
    conditions, reasons = [], []
    order = found.get("order_id")
    if order and order.column.is_text and 0 < order.column.cancelled_share < 0.5 < order.column.number_share:
        conditions.append(f"{order.column.sql} ilike 'C%'")
        reasons.append(f"{order.column.name} C... is a cancellation")
    for target in ("quantity", "total", "price"):
        if target in found and found[target].column.negative_share > (0.001 if target == "price" else 0):
            column = found[target].column
            conditions.append(f"{number_sql(column) if column.is_text else column.sql} < 0")
            reasons.append(f"a negative {column.name} is a return")
            break
    return (" or ".join(conditions), ", ".join(reasons)) if conditions else None


# --- money -----------------------------------------------------------------------------------------------------------


def _money(profile: SourceProfile, found: Mapping[str, Match]) -> list[Line]:
    lines: list[Line] = []
    quantity, price, total = (found.get(target) for target in ("quantity", "price", "total"))
    pieces = number_sql(quantity.column) if quantity else None
    if price:
        sign = price.column.negative_share > 0.001
        sql = f"abs({number_sql(price.column)})" if sign else number_sql(price.column)
        reason = f"{price.reason}, per unit"
        if "discount" in found:
            reason += "; should be after the discount"
        certain = price.certain and not sign and "discount" not in found
        lines.append(Line("price", sql, (price.column.name,), reason, certain))
    elif total:
        amount = number_sql(total.column)
        sql = f"{amount} / coalesce(nullif({pieces}, 0), 1)" if pieces else amount
        columns = (total.column.name, *((quantity.column.name,) if quantity else ()))
        negative = total.column.negative_share > 0
        reason = f"{total.column.name} is the amount of the line" + (
            ", so the price is that per unit" if pieces else ""
        )
        if exact_rank(total.column.name, "total") is None or squashed(total.column.name) in (
            "amount",
            "total",
            "sales",
        ):
            reason += "; of the line, or of the whole order?"
        sure = total.certain and "?" not in reason
        lines.append(Line("price", f"abs({sql})" if negative else sql, columns, reason, sure))
    lines += _discount(profile, found)
    if quantity:
        negative = quantity.column.negative_share > 0
        sql = f"abs({pieces})" if negative else str(pieces)
        reason = quantity.reason + ("; returns count upwards too" if negative else "")
        if total and not price:
            # A line with an amount but no pieces would lose its amount: price * 0.
            sql, reason = f"nullif({sql}, 0)", reason + "; 0 is left out, as it counts as 1 then"
        lines.append(Line("quantity", sql, (quantity.column.name,), reason, quantity.certain))
    return lines


def _discount(profile: SourceProfile, found: Mapping[str, Match]) -> list[Line]:
    columns = discounts(profile, found)
    if not columns:
        return []
    names = tuple(column.name for column in columns)
    if len(columns) == 1 and discount_is_rate(columns[0]):
        basis = found.get("total") or found.get("price")
        if basis is None:
            return []
        rate, amount = number_sql(columns[0]), number_sql(basis.column)
        sql = f"abs({amount} * {rate} / nullif(1 - {rate}, 0))"
        return [Line("discount", sql, names, "a share of the price before it, made an amount", False)]
    sql = " + ".join(f"coalesce(abs({number_sql(column)}), 0)" for column in columns)
    return [
        Line("discount", sql, names, found["discount"].reason + ", the amount off the line", found["discount"].certain)
    ]


# --- where the source is ----------------------------------------------------------------------------------------------


def _items_sql(found: Mapping[str, Match], reader: str) -> str | None:
    if "item_id" not in found or "name" not in found or found["name"].column.distinct < 2:
        return None
    item, name = id_sql(found["item_id"].column), found["name"].column.sql
    return (
        "-- Items: each code with the name that most of its lines have.\n"
        "with names as (\n"
        f"    select {item} as item_id, {name} as name, count(*) as line_count\n"
        f"    from {reader}\n"
        f"    where {name} is not null and {item} is not null\n"
        "    group by all\n"
        ")\n"
        "select item_id, arg_max(name, row(line_count, name)) as name\n"
        "from names\n"
        "group by item_id\n"
    )


def _reader(profile: SourceProfile, directory: Path) -> str:
    source = profile.source
    alias = database[0] if (database := _database(source, directory)) else None
    return relation_sql(source, _relative(source.location, directory), profile.csv_options, alias)


def _database(source: Source, directory: Path) -> tuple[str, str, str] | None:
    """Return the source to attach; None for files, and for a table in the project's own warehouse."""
    if not source.table or source.location == directory / "warehouse.duckdb":
        return None
    alias = squashed(source.location.stem)[:40] or "shop"
    if alias in _ALIASES_TO_AVOID or not alias[0].isalpha():
        alias = f"source_{alias}"
    return alias, source.kind, _relative(source.location, directory)


def _paths(source: Source, directory: Path) -> tuple[str, ...]:
    if source.folder == directory:
        return ()  # the project itself may be read anyway
    folder = _relative(source.folder, directory)
    return (folder if folder.endswith("/") else f"{folder}/",)


def _relative(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else path.as_posix()
