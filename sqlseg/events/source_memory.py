"""What is remembered of the sources from one refresh to the next: how each one knows what it need not read again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlseg import sqltext
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.statements import duckdb_version
from sqlseg.events.duplicates import RULES
from sqlseg.events.source_files import Signature, kept_signature, signature_text
from sqlseg.resources import sql_text


@dataclass(frozen=True)
class EventContent:
    """What the hashes of all events in use come to: their sum and their exclusive or, in no order.

    Fingerprints begin with it. It follows the events that come and go, so that the others need not be read for it.

    >>> EventContent.of_fingerprint("7/5/3/3/900").changed_by(-2, 1)
    EventContent(total=5, exclusive_or=4)
    """

    total: int
    exclusive_or: int

    @classmethod
    def of_fingerprint(cls, fingerprint: str) -> "EventContent":
        """Return the content of the events that a fingerprint is of."""
        total, exclusive_or, _ = fingerprint.split("/", maxsplit=2)
        return cls(int(total), int(exclusive_or))

    def __str__(self) -> str:
        return f"{self.total}/{self.exclusive_or}"

    def changed_by(self, total: int, exclusive_or: int) -> "EventContent":
        """Return the content once events have come and gone that come to so much."""
        return EventContent(self.total + total, self.exclusive_or ^ exclusive_or)


@dataclass(frozen=True)
class SourceMemory:
    """How the sources stood when they were last read; instants are UTC without zone.

    `definition` is what decides how rows are read and judged, `signature` the files that were read (None where more
    than files decides), taken at `read_at`. The content was compared as a whole at `compared_at`; times after
    `exported_at` were refused.
    """

    run_id: str
    definition: Mapping[str, str]
    signature: Signature | None
    read_at: datetime
    compared_at: datetime
    exported_at: datetime
    ignored_columns: tuple[str, ...]
    fingerprint: str

    @property
    def content(self) -> EventContent:
        """What the events in use came to."""
        return EventContent.of_fingerprint(self.fingerprint)

    @property
    def is_compared(self) -> bool:
        """Whether nothing was read since the content was compared as a whole: then it stands as it was compared."""
        return self.read_at == self.compared_at


def reading_definition(
    text: str, *, databases: Mapping[str, str], timezone: str, max_quantity: float | None
) -> dict[str, str]:
    """Return what decides how source rows are read and judged, besides the rows and the clock, as a reader calls it.

    `databases` says what is attached under each name. Comments and spacing in the SQL make no difference.
    """
    rules = (sql_text(f"steps/events/{name}.sql") for name in ("stage", *RULES))
    return {
        "the events SQL": sqltext.token_digest(text),
        "[sources]": json.dumps(dict(databases), sort_keys=True),
        "timezone": timezone,
        "max_quantity": str(max_quantity),
        "DuckDB": duckdb_version(),
        "the rules for usable rows": sqltext.digest(*rules),
    }


def source_memory(engine: Engine) -> SourceMemory | None:
    """Return what is remembered, None where nothing is."""
    row = engine.row(
        "select run_id, definition, signature, read_at, compared_at, exported_at, ignored_columns, fingerprint "
        "from sqlseg.source_memory"
    )
    if row is None:
        return None
    run_id, definition, signature, read_at, compared_at, exported_at, ignored, fingerprint = row
    files = None if signature is None else kept_signature(signature)
    ignored_columns = tuple(json.loads(ignored))
    return SourceMemory(
        run_id, json.loads(definition), files, read_at, compared_at, exported_at, ignored_columns, fingerprint
    )


def remember_source(engine: Engine, memory: SourceMemory) -> None:
    """Replace what is remembered, but for the days of the source."""
    engine.execute("delete from sqlseg.source_memory")
    engine.execute(
        "insert into sqlseg.source_memory values "
        "($run_id, $definition, $signature, $read_at, $compared_at, $exported_at, $ignored, $fingerprint)",
        {
            "run_id": memory.run_id,
            "definition": json.dumps(dict(memory.definition), sort_keys=True),
            "signature": None if memory.signature is None else signature_text(memory.signature),
            "read_at": memory.read_at,
            "compared_at": memory.compared_at,
            "exported_at": memory.exported_at,
            "ignored": json.dumps(memory.ignored_columns),
            "fingerprint": memory.fingerprint,
        },
    )


def remember_run(engine: Engine, run_id: str) -> None:
    """Say that what is remembered belongs to a run that changed something."""
    memory = source_memory(engine)
    if memory is not None:
        remember_source(engine, replace(memory, run_id=run_id))


def remember_days(engine: Engine) -> None:
    """Replace the remembered days of the source by those in partitions_read."""
    engine.execute("delete from sqlseg.source_partition")
    engine.execute("insert into sqlseg.source_partition by name select * from partitions_read")


def find_days_judged_anew(engine: Engine, before: datetime, now: datetime) -> int:
    """Begin the temporary table reread_days with those that another `exported_at` (UTC) judges otherwise; count."""
    engine.execute("create or replace temp table reread_days (day date)")
    if before != now:
        days = sql_text("steps/events/days_judged_anew.sql")
        engine.execute(f"insert into reread_days\n{days}", {"before": before, "now": now})
    return int(engine.value("select count(*) from reread_days"))


def find_changed_days(engine: Engine, *, appended: bool) -> None:
    """Add the days to reread_days whose content is another than was remembered; NULL for rows without a readable time.

    Where the source is known to be what was remembered and the appended_rows, these alone are read. Raises QueryFailed.
    """
    engine.execute(sql_text(f"steps/events/{'appended' if appended else 'source'}_days.sql"))
    engine.execute(f"insert into reread_days\n{sql_text('steps/events/changed_days.sql')}")


def last_ingested(engine: Engine) -> datetime | None:
    """Return the newest ingested_at that had passed when it was read; None where the source has none."""
    newest: datetime | None = engine.value(
        "select max(last_ingested) from sqlseg.source_partition where last_ingested >= timestamp '0001-01-01'"
    )
    return newest
