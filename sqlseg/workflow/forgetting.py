"""Forgets users: takes them out of every table, rewrites the files, and keeps them from coming back."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.filelock import FileLock
from sqlseg.engine.rewriting import rewrite_database
from sqlseg.errors import SqlsegError
from sqlseg.events.erasure import REASON
from sqlseg.resources import sql_text
from sqlseg.workflow.erasure_list import finish_erasure, list_file, remember_erased
from sqlseg.workflow.holding import Patience, patiently, take_lock
from sqlseg.workflow.narration import Clock, Narrator
from sqlseg.workflow.project import Project, open_project
from sqlseg.workflow.published import check_privacy
from sqlseg.workflow.publishing import mark_unpublished, publish_whole
from sqlseg.workflow.state import last_refresh
from sqlseg.workflow.texts import forget_texts
from sqlseg.workflow.warehouse import open_warehouse
from sqlseg.workflow.warehouse_key import warehouse_key

COMMAND = "sqlseg forget"
"""What others are told that wait for it; never with the ids."""


class NobodyToForget(SqlsegError):
    """No user was named."""

    def __init__(self) -> None:
        super().__init__("No user is named.", hint="sqlseg forget USER..., or --file with one id a line.")


@dataclass(frozen=True)
class Receipt:
    """What was erased. `tables` has the rows removed by table; `models` what was fitted with users of that time.

    `unknown` are the ids that nothing was found of; they are on the list all the same. `own_tables` are the shop's, in
    the same file. `rewritten` are the files that were replaced, `older` what `sqlseg refresh --rebuild` kept of earlier
    warehouses, in which they still are.
    """

    erasure_id: str
    erased_at: datetime
    users_asked: int
    users_found: int
    tables: dict[str, int]
    models: tuple[tuple[str, int | None, str], ...]
    unknown: tuple[str, ...]
    own_tables: tuple[str, ...]
    rewritten: tuple[Path, ...]
    list_file: Path
    older: tuple[Path, ...] = ()


def forget(
    directory: Path, users: Sequence[str], clock: Clock, narrator: Narrator, patience: Patience | None = None
) -> Receipt:
    """Erase users from a project, in four steps, of which each may be repeated by forgetting the same users again.

    Their keyed hashes go on the list first, so that no refresh takes them in; then their rows go, with a receipt, in
    one transaction; then the published file and the warehouse are replaced by copies in which the bytes are gone.
    A file beside the list says from the first to the last that this is under way.
    Raises NobodyToForget, NoErasureKey, ErasureListNotWritable, and what opening, publishing and rewriting raise.
    """
    project = open_project(directory)
    check_privacy(project)
    named = list(dict.fromkeys(user for user in users if user.strip()))
    if not named:
        raise NobodyToForget
    settings = project.settings
    erased = remember_erased(settings, named)
    now = clock.now()
    if not settings.warehouse.path.is_file():
        finish_erasure(settings, erased, named)
        return Receipt(_erasure_id(now), now, len(named), 0, {}, (), tuple(named), (), (), list_file(settings))
    # Also between the steps nobody else gets at the warehouse.
    lock = patiently(patience, lambda: take_lock(settings, COMMAND))
    try:
        receipt = _forget(project, named, now, narrator, patience, lock)
        finish_erasure(settings, erased, named)
        return receipt
    finally:
        lock.release()


def _forget(
    project: Project, named: list[str], now: datetime, narrator: Narrator, patience: Patience | None, lock: FileLock
) -> Receipt:
    warehouse, rewritten = project.settings.warehouse, []
    with open_warehouse(project, COMMAND, patience, lock=lock) as engine:
        with narrator.step("Erasing"), engine.transaction():
            receipt = _erased(engine, project, named, now)
        if last_refresh(engine) is not None:
            with narrator.step("Publishing"):
                publish_whole(engine, project)
            rewritten.append(warehouse.published)
    with narrator.step("Rewriting the warehouse"):
        key = warehouse_key(project.settings)
        rewrite_database(
            warehouse.path,
            threads=warehouse.threads,
            memory_limit=warehouse.memory_limit,
            key=key,
            fresh_key=key,
        )
    rewritten.append(warehouse.path)
    older = tuple(sorted(warehouse.path.parent.glob(f"{glob.escape(warehouse.path.name)}.before-*")))
    return Receipt(**{**vars(receipt), "rewritten": tuple(rewritten), "older": older})


def _erasure_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%S%f}"


def _erased(engine: Engine, project: Project, users: list[str], now: datetime) -> Receipt:
    """Remove the rows of users and write the receipt."""
    with engine.registered("forgotten", pa.table({"user_id": pa.array(users, pa.string())})):
        found = _known(engine)
        last = last_refresh(engine)
        events = _count(engine, "sqlseg.events") if engine.relation_exists("sqlseg", "events") else 0
        everybody = _count(engine, "sqlseg.population") if engine.relation_exists("sqlseg", "population") else 0
        engine.execute(sql_text("steps/forget/add_transitions.sql"))
        refused = _withhold_refused(engine, events)
        removed = {}
        for schema, table in engine.rows(sql_text("steps/forget/tables_of_users.sql")):
            relation = f"{schema}.{quoted(table)}"
            rows = _count(engine, relation)
            if rows:
                engine.execute(f"delete from {relation} where user_id in (select user_id from forgotten)")
                removed[f"{schema}.{table}"] = rows
        if refused:
            removed["quality.rejected_events"] = refused
        _withhold_errors(engine, users)
    if project.text_encoder is not None and engine.relation_exists("embeddings", project.text_encoder.table):
        views = [view for view in project.contents().values() if view.holds_texts]
        views = [view for view in views if engine.relation_exists("sqlseg", view.table)]
        if views:
            forget_texts(engine, project.text_encoder, views)
    engine.execute(sql_text("steps/forget/count_segments.sql"))
    engine.execute(
        "update segments.segmentation as s set user_count = "
        "(select count(*) from segments.membership as m where m.segmentation = s.segmentation)"
    )
    if last is not None:
        engine.execute(
            "update segments.run set events_total = events_total - $events, users_total = users_total - $users, "
            "events_rejected = events_rejected + $events where run_id = $run_id",
            {"events": events, "users": everybody, "run_id": last.run_id},
        )
        mark_unpublished(engine)
        # The next refresh reads all of the source, and counts by day and segment anew, also where nothing is new.
        engine.execute("update sqlseg.refresh_state set source_fingerprint = 'before an erasure'")
        engine.execute(
            "delete from sqlseg.source_memory; delete from sqlseg.attribute_memory; delete from sqlseg.segment_day"
        )
    models = _models(engine)
    receipt = Receipt(
        _erasure_id(now),
        now,
        len(users),
        len(found),
        removed,
        models if found else (),
        tuple(user for user in users if user not in found),
        tuple(row[0] for row in engine.rows(sql_text("steps/forget/tables_of_the_shop.sql"))),
        (),
        list_file(project.settings),
    )
    _write_receipt(engine, receipt)
    return receipt


def _count(engine: Engine, relation: str) -> int:
    return int(engine.value(f"select count(*) from {relation} where user_id in (select user_id from forgotten)"))


def _known(engine: Engine) -> set[str]:
    """Return which of the users there is anything of."""
    selects = [
        f"select user_id from {schema}.{quoted(table)}"
        for schema, table in engine.rows(sql_text("steps/forget/tables_of_users.sql"))
    ]
    selects.append("select json_extract_string(\"row\", '$.user_id') from quality.rejected_events")
    return {row[0] for row in engine.rows(f"select user_id from forgotten intersect ({' union all '.join(selects)})")}


def _withhold_refused(engine: Engine, events: int) -> int:
    """Keep the count of the refused rows of the forgotten, with those of their events, and nothing else of them."""
    refused = dict(engine.rows(sql_text("steps/forget/refused_of_forgotten.sql")))
    engine.execute(
        'update quality.rejected_events set reason = $reason, "row" = null '
        "where json_extract_string(\"row\", '$.user_id') in (select user_id from forgotten)",
        {"reason": REASON},
    )
    run_id = engine.value("select run_id from sqlseg.refresh_state")
    total = events + sum(refused.values())
    if run_id is None or not total:
        return sum(refused.values())
    values = {"run_id": run_id, "reason": REASON}
    engine.execute(
        f"insert into quality.rejected_events (run_id, reason) select $run_id, $reason from range({events})", values
    )
    for reason, rows in refused.items():
        engine.execute(
            "update quality.rejection set row_count = row_count - $rows where run_id = $run_id and reason = $reason",
            {"rows": rows, "run_id": run_id, "reason": reason},
        )
    engine.execute("delete from quality.rejection where run_id = $run_id and row_count = 0", {"run_id": run_id})
    there = engine.value("select row_count from quality.rejection where run_id = $run_id and reason = $reason", values)
    engine.execute("delete from quality.rejection where run_id = $run_id and reason = $reason", values)
    engine.execute(
        "insert into quality.rejection (run_id, reason, row_count) values ($run_id, $reason, $rows)",
        {**values, "rows": total + (there or 0)},
    )
    return sum(refused.values())


def _withhold_errors(engine: Engine, users: list[str]) -> None:
    """Take the messages of failed refreshes back that name one of the users."""
    failed = engine.rows("select run_id, error from segments.run where error is not null")
    for run_id, error in failed:
        if any(f"{user!r}" in error for user in users):
            engine.execute(
                "update segments.run set error = 'The message named a user who was forgotten.' where run_id = $run_id",
                {"run_id": run_id},
            )


def _models(engine: Engine) -> tuple[tuple[str, int | None, str], ...]:
    """Return every stored model that was fitted on users, with their number, and what it may still hold of one."""
    clusters = engine.rows(
        "select segmentation, model_version, algorithm, fit_user_count from segments.model "
        "where algorithm <> 'rules' order by segmentation, model_version"
    )
    found: list[tuple[str, int | None, str]] = []
    for name, version, algorithm, users in clusters:
        told = f"at most 1 of {users:,} users each; sums over users, no ids"
        if algorithm in ("hdbscan", "dbscan", "optics"):
            told = f"at most 1 of {users:,} users each; keeps feature values of single users, without ids"
        found.append((f"{name} model {version}", int(users), told))
    for ref, version in engine.rows("select forecast, model_version from segments.forecast_model order by all"):
        found.append((f"forecast:{ref} model {version}", None, "coefficients over all users of that time, no ids"))
    for ref, version in engine.rows("select sentiment, model_version from sqlseg.sentiment_model order by all"):
        found.append((f"sentiment:{ref} model {version}", None, "weights of words over all reviews, no ids"))
    return tuple(found)


def _write_receipt(engine: Engine, receipt: Receipt) -> None:
    rows: list[tuple[str, str | None, int | None, str | None]] = [
        ("table", relation, count, None) for relation, count in receipt.tables.items()
    ]
    rows += [("model", relation, count, remark) for relation, count, remark in receipt.models]
    for subject, relation, count, remark in rows or [("table", None, 0, "nothing was found of them")]:
        engine.execute(
            "insert into quality.erasure values ($id, $at, $asked, $found, $subject, $relation, $count, $remark)",
            {
                "id": receipt.erasure_id,
                "at": receipt.erased_at,
                "asked": receipt.users_asked,
                "found": receipt.users_found,
                "subject": subject,
                "relation": relation,
                "count": count,
                "remark": remark,
            },
        )
