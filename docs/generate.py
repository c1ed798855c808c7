"""Writes the pages of docs/reference from the code: `python docs/generate.py`.

Nothing in those pages is written by hand. Commands come from the typer app, settings from the pydantic models and from
docs/sqlseg.example.toml, tables from their DDL and comments, features from the view files.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

from sqlseg.cli.main import app
from sqlseg.encoders.manifest import find_encoders
from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import comments, prepare_warehouse
from sqlseg.features.registry import Registry
from sqlseg.features.view import Column, View
from sqlseg.names import (
    EVENT_COLUMNS,
    KNOWN_EVENT_TYPES,
    PRIVACY,
    PRIVATE,
    PUBLISHED_TABLES,
    WAREHOUSE_TABLES,
    Relation,
)
from sqlseg.publish import privacy
from sqlseg.publish.contents import CONTENT_COLUMNS
from sqlseg.publish.suppression import SUPPRESSED
from sqlseg.resources import resource_root, sql_text
from sqlseg.segments.algorithms import ALGORITHMS
from sqlseg.segments.supervised import SUPERVISED_ALGORITHMS
from sqlseg.settings import ClusterSegmentation, DriftLimits, RulesSegmentation, Settings, SupervisedSegmentation
from sqlseg.workflow.live import LIVE_COLUMNS

DOCS = Path(__file__).resolve().parent
COMMAND = "python docs/generate.py"
EXAMPLE = DOCS / "sqlseg.example.toml"
_NOTE = f"<!-- Made by `{COMMAND}`; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """Return the text of every reference page, by its path below docs/."""
    return {
        "reference/commands.md": _NOTE + commands_page(),
        "reference/settings.md": _NOTE + settings_page(),
        "reference/tables.md": _NOTE + tables_page(),
        "reference/features.md": _NOTE + features_page(),
    }


# Commands


_EXIT_CODES = (
    (
        "`0`",
        "It is done; also where nothing was new, and where whoever reads the output stops early, as `head` does.",
        "",
    ),
    (
        "`1`",
        "It could not be done, or a check of severity error fails. The message says what is wrong, where, and what to "
        "do. What was published before stays. Also where it was interrupted.",
        "Read stderr, correct it, run it again.",
    ),
    (
        "`2`",
        "The command was called wrongly: an unknown command or option, or a value that can be none.",
        "See `--help`.",
    ),
)


def commands_page() -> str:
    """Return the page of every command, argument and option."""
    parts = [
        "# Commands\n",
        "Every command takes `--project DIR` (or `-p DIR`; by default the current folder) and `--json`, and explains "
        "itself with `--help`. `init`, `demo` and `synth` name their folder or file as an argument instead.\n",
        "Data goes to stdout, everything else to stderr.\n",
        _table(("exit code", "when", "what to do"), _EXIT_CODES),
    ]
    for words, callback in commands(app):
        parts += _command_section(words, callback)
    return "\n".join(parts)


def commands(group: Typer, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """Yield the words and the function of every command, groups after the commands beside them."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield (*before, command.name or command.callback.__name__.replace("_", "-")), command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None and isinstance(inner.name, str)
        yield from commands(inner.typer_instance, (*before, inner.name))


def parameters(callback: Callable[..., Any]) -> Iterator[tuple[Parameter, ArgumentInfo | OptionInfo, Any]]:
    """Yield the parameters that people see: the parameter, what typer knows of it, and its type."""
    hints = get_type_hints(callback, include_extras=True)
    for parameter in signature(callback).parameters.values():
        kind, *rest = get_args(hints[parameter.name])
        info = next(one for one in rest if isinstance(one, ArgumentInfo | OptionInfo))
        if not info.hidden:
            yield parameter, info, kind


def _command_section(words: Sequence[str], callback: Callable[..., Any]) -> list[str]:
    arguments, rows = [], []
    for parameter, info, kind in parameters(callback):
        default = _default(parameter, info)
        if isinstance(info, ArgumentInfo):
            name = (info.metavar or parameter.name.upper()).strip("[]")
            arguments.append(name if default is None else f"[{name}]")
            rows.append((f"`{name}`", info.help or "", default or ""))
        elif parameter.name not in ("project", "json"):
            flags = ", ".join(f"`{_flag(flag, info, kind)}`" for flag in option_flags(info))
            needed = "needed" if parameter.default is Parameter.empty else (default or "")
            rows.append((flags, info.help or "", needed))
    title = " ".join(["sqlseg", *words, *arguments])
    section = [f"## `sqlseg {' '.join(words)}`\n"]
    section.append(f"{(callback.__doc__ or '').strip()}\n")
    section.append(f"    {title}{' [OPTIONS]' if any(row[0].startswith('`--') for row in rows) else ''}\n")
    if rows:
        section.append(_table(("argument or option", "meaning", "default"), rows))
    return section


def option_flags(info: OptionInfo) -> list[str]:
    """Return how an option is written; typer keeps the first of its names where a default would stand."""
    return [flag for flag in (info.default, *(info.param_decls or ())) if isinstance(flag, str) and flag[0] == "-"]


def _flag(flag: str, info: OptionInfo, kind: Any) -> str:
    value = info.metavar or _value(kind)
    return f"{flag} {value}" if value else flag


def _value(kind: Any) -> str:
    parts = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is Literal:
        return "|".join(parts)
    if parts:
        return _value(parts[0])
    return {bool: "", int: "N", Path: "PATH"}.get(kind, "TEXT")


def _default(parameter: Parameter, info: ArgumentInfo | OptionInfo) -> str | None:
    """Return the default in words, "" where there is nothing to say, None for a value that must be given."""
    if parameter.default is Parameter.empty:
        return None
    if isinstance(info.show_default, str):
        return info.show_default
    return "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"


# Settings


def settings_page() -> str:
    """Return the page of every key of sqlseg.toml."""
    parts = [
        "# Settings: `sqlseg.toml`\n",
        "Paths are relative to the project's folder, wherever a command is called from. An unknown key, a missing file "
        "or a version that does not exist is an error that names the key, the line and what would be valid.\n",
    ]
    meanings = key_meanings()
    for section, model in sections():
        name, _, kind = section.partition("]")
        parts.append(f"## `[{name}]`{kind}\n")
        parts.append(f"{_sentence((model.__doc__ or '').partition(':')[2].strip())}\n")
        rows = [
            (f"`{key}`", _type_text(key, field), _setting_default(section, key, field), meanings[section, key])
            for key, field in model.model_fields.items()
        ]
        parts.append(_table(("key", "value", "default", "meaning"), rows))
    parts.append(
        "The name of a section in angle brackets is yours: lower-case letters, digits and `_`. That of a segmentation "
        "may not end in `_v<digits>` or `_users`, or be the name of a table in the schema `segments`.\n"
    )
    parts.append("## An example with every key\n")
    parts.append(f"```toml\n{EXAMPLE.read_text(encoding='utf-8')}```\n")
    return "\n".join(parts)


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section of sqlseg.toml as a reader writes it, and its model."""
    for name, field in Settings.model_fields.items():
        if name == "segmentations":
            yield "segmentations.<name>] of kind cluster", ClusterSegmentation
            yield "segmentations.<name>.drift", DriftLimits
            yield "segmentations.<name>] of kind rules", RulesSegmentation
            yield "segmentations.<name>] of kind supervised", SupervisedSegmentation
            continue
        models = _models(field.annotation)
        yield (name if models == [field.annotation] else f"{name}.<name>"), models[0]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def key_meanings() -> dict[tuple[str, str], str]:
    """Return what the example says of each key, by section as `sections` yields it, and key."""
    meanings: dict[tuple[str, str], str] = {}
    section, key = "", ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(\w+)(\.\w+)?\]", line):
            section, key = header[1] + (".<name>" if header[2] else ""), ""
        elif inner := re.fullmatch(r"\[\w+\.\w+\.(\w+)\]\s+# (.+)", line):
            meanings[section, inner[1]] = inner[2]  # a table within the section before it
            section, key = f"{section.partition(']')[0]}.{inner[1]}", ""
        elif found := re.fullmatch(r"(\w+) = .*?\S\s+# (.+)", line):
            key = found[1]
            if key == "kind":
                section += f"] of kind {line.split()[2].strip(chr(34))}"
            meanings[section, key] = found[2]
        elif key and (more := re.fullmatch(r"\s+# (.+)", line)):
            meanings[section, key] += f" {more[1]}"
    return meanings


def _type_text(key: str, field: FieldInfo) -> str:
    if key == "drift":
        return "a table, below"
    if key == "algorithm":
        known = ALGORITHMS if field.default in ALGORITHMS else SUPERVISED_ALGORITHMS
        return _either(f'"{name}"' for name in known)
    if key == "revenue_bounds":
        return "a list of two numbers"
    if key in ("inputs", "features"):
        return "a list of text"
    if key == "horizons":
        return "a list of whole numbers"
    if key == "publish":
        return '"all" or a list of text'
    return _kind_text(field.annotation)


def _kind_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _either(f'"{value}"' for value in arguments)
    if origin is Union or type(annotation).__name__ == "UnionType":
        return " or ".join(_kind_text(part) for part in arguments if part is not type(None))
    if origin is tuple:
        return f"a list of {_plural(_kind_text(arguments[0]))}"
    if origin is not None and len(arguments) == 2 and arguments[0] is str:
        return "a table of numbers"
    if hasattr(annotation, "__metadata__"):
        return _kind_text(arguments[0])
    names = {
        bool: "true or false",
        str: "text",
        int: "a whole number",
        float: "a number",
        Path: "a path",
        timedelta: "a length of time",
    }
    return names.get(annotation, "a date and time")


def _plural(kind: str) -> str:
    return {"a path": "folders", "text": "text"}.get(kind, kind)


def _setting_default(section: str, key: str, field: FieldInfo) -> str:
    if (section, key) in _MADE_DEFAULTS:
        return _MADE_DEFAULTS[section, key]
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, Path):
        return f'`"{default.as_posix()}"`'
    if isinstance(default, str):
        return f'`"{default}"`'
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, int | float) else "none"


_MADE_DEFAULTS = {
    ("project", "name"): "the folder's name",
    ("events", "paths"): "the project's folder",
    ("events", "overlap"): '`"1 hour"`',
}


# Tables


def tables_page() -> str:
    """Return the page of every public table and column."""
    parts = [
        "# Tables\n",
        "What a refresh leaves behind, in the published file unless it says otherwise. Times are UTC, without a zone. "
        "The same texts are comments on the tables and columns in the database.\n",
        _contents(),
    ]
    with Engine.open(None) as engine:
        prepare_warehouse(engine)
        for relation in PUBLISHED_TABLES:
            parts += _table_section(engine, relation)
        parts += _views_over_users()
        parts += _privacy()
        parts += _embeddings()
        parts += _table_section(engine, PRIVATE)
        parts += ["## Kept in the warehouse only\n"]
        for relation in WAREHOUSE_TABLES:
            if relation.schema != "sqlseg" and relation != PRIVATE:
                parts += _table_section(engine, relation, level="###")
    parts += _events_section()
    return "\n".join(parts)


def _contents() -> str:
    return (
        "Four tables answer most questions: `segments.membership` (who is where), `segments.segment` (what the "
        "segments are), `segments.<segmentation>_users` (users with segment and features, for charts) and "
        "`segments.transition` (who moved, and why).\n"
    )


def _table_section(engine: Engine, relation: Relation, level: str = "##") -> list[str]:
    about, of_columns = comments(engine)[relation.schema, relation.name]
    rows = [
        (f"`{name}`", kind, of_columns[name]) for name, kind in engine.columns(relation.schema, relation.name).items()
    ]
    return [f"{level} `{relation}`\n", f"{about}\n", _table(("column", "type", "meaning"), rows)]


def _views_over_users() -> list[str]:
    return [
        "## `segments.<segmentation>_users`\n",
        "One for each segmentation, such as `segments.behavior_users`: one row for every user, with the segment and "
        "all readable features side by side. It is made for charts.\n",
        _table(
            ("column", "type", "meaning"),
            [
                ("`user_id`", "VARCHAR", "The user."),
                ("`segment_id`", "VARCHAR", "The segment."),
                ("`segment_name`", "VARCHAR", "The name of the segment."),
                ("`confidence`", "DOUBLE", "0 to 1: how clearly the user belongs to the segment."),
                ("`member_since`", "TIMESTAMP", "When the current stay began (UTC)."),
                ("`<view>__<column>`", "a number", "Each numeric feature, such as `rfm__recency_days`."),
            ],
        ),
        "## `segments.<segmentation>_live`\n",
        "A view, for each segmentation of kind cluster that can be written as SQL: every user, placed by the model "
        "in use from the features as they stand at the time of the question. It needs no Python, and gives the rows of "
        "`segments.membership` as long as the features are those of the refresh. "
        "[Scoring in SQL](../segments.md#scoring-in-sql) says more.\n",
        _table(
            ("column", "type", "meaning"),
            [
                (f"`{name}`", "DOUBLE" if name in ("distance", "confidence") else "VARCHAR", meaning)
                for name, meaning in LIVE_COLUMNS.items()
            ],
        ),
        "## `quality.content`\n",
        "A view, in the published file only: each of its tables, counted and hashed at the time of the question. With "
        "`content_hash` in `segments.run` it proves that the file is whole: "
        "[Reliability](../reliability.md#one-whole-refresh).\n",
        _table(("column", "type", "meaning"), _content_rows()),
        "## `features.<name>_v<k>` and `features.<name>`\n",
        "One row for every user, that is everybody with at least one event before as_of, and a column for each "
        "feature. A user of whom the view has no row gets NULL, or the column's declared default. `features.rfm_v1` is "
        "version 1 of `rfm`; `features.rfm` is the version in use: the highest that a segmentation takes as an input, "
        "else the latest. In the warehouse they are views over the events; in the published file they are tables of "
        "the same names. [Features](features.md) lists the columns.\n",
        "## `stats.<name>_v<k>`\n",
        "What the shop looks like as a whole, for feature views and encoders to read: price levels, popularity of "
        "items. They stand still until a segmentation that depends on them is fitted again. Besides its own columns "
        "each has `computed_as_of` TIMESTAMP, the as_of of the data (UTC). [Features](features.md#statistics) lists "
        "them.\n",
    ]


def _privacy() -> list[str]:
    return [
        f"## `{PRIVACY}`\n",
        f"{privacy.COMMENT} In the published file alone, and only where there is such a section. "
        "[Privacy](../privacy.md) says what it does to other tables.\n",
        _table(
            ("column", "type", "meaning"),
            [(f"`{name}`", "VARCHAR", meaning) for name, meaning in privacy.COLUMN_COMMENTS.items()],
        ),
        "With `suppress = true`, the tables with figures of segments that few users could stand behind have a column "
        f"`suppressed` BOOLEAN besides: {SUPPRESSED[0].lower()}{SUPPRESSED[1:]}\n",
    ]


def _content_rows() -> list[tuple[str, str, str]]:
    kinds = {"row_count": "BIGINT"}
    return [(f"`{name}`", kinds.get(name, "VARCHAR"), meaning) for name, meaning in CONTENT_COLUMNS.items()]


def _embeddings() -> list[str]:
    shipped = find_encoders([resource_root("onnx_models")])
    named = ", ".join(f"`embeddings.{encoder.table}`" for encoder in shipped.values())
    return [
        "## `embeddings.<encoder>_v<k>`\n",
        f"In the warehouse only; of the shipped encoders: {named}. One row for every user who has done something that "
        "the encoder reads.\n",
        _table(
            ("column", "type", "meaning"),
            [
                ("`user_id`", "VARCHAR", "The user."),
                ("`embedding`", "FLOAT[d]", "What the encoder makes of the user's last events."),
                ("`input_hash`", "VARCHAR", "Changes with the input; the same input and model are not computed again."),
                ("`model_sha256`", "VARCHAR", "SHA-256 of the model file."),
                ("`provider`", "VARCHAR", "Where it was computed: CPUExecutionProvider or CUDAExecutionProvider."),
                ("`embedded_at`", "TIMESTAMP", "When it was computed (UTC)."),
            ],
        ),
    ]


def _events_section() -> list[str]:
    reasons = re.findall(r"then '([^']+)'", sql_text("steps/events/stage.sql"))
    rows = [
        (f"`{column.name}`", column.type, ("**Needed.** " if column.required else "") + column.description)
        for column in EVENT_COLUMNS
    ]
    return [
        "## What `sql/events.sql` returns: canonical events\n",
        "One row for every event. Three columns are needed; any other that is not known can be left out or NULL.\n",
        _table(("column", "type", "meaning"), rows),
        f"The shipped feature views know the event types {', '.join(f'`{name}`' for name in KNOWN_EVENT_TYPES)}. "
        "Others are kept and counted as activity.\n",
        "Revenue is everywhere `sum(price * quantity)` of purchases minus that of returns. An order is an `order_id`; "
        "without one, it is what a user bought at one instant.\n",
        f"Rows that cannot be used are kept in `quality.rejected_events` with the reason: {', '.join(reasons)}, "
        "duplicate. Of rows with the same `event_id` the one with the newest `ingested_at` stays. Without an "
        "`event_id`, rows are duplicates when all columns are equal.\n",
    ]


# Features


def features_page() -> str:
    """Return the page of every shipped view and column."""
    registry = Registry.load([resource_root("sql")])
    parts = [
        "# Features\n",
        "The feature views that ship with sqlseg. Elsewhere a feature goes by `<view>__<column>`, such as "
        "`rfm__recency_days`. *Default* is the value of a user of whom the view has no row. *High* and *low* are the "
        "words that names of segments use for users at either end. Hours, weekdays and days are those of the project's "
        "time zone.\n",
        "`sqlseg features show rfm@1 --sql` prints the SQL of a view, ready to paste into a DuckDB shell.\n",
    ]
    for view in registry.all("features"):
        parts += _feature_section(view)
    parts += [
        "## Statistics\n",
        "Shop-wide tables that feature views and encoders read, in the schema `stats`.\n",
    ]
    for view in registry.all("statistics"):
        grain = f"One row for each `{', '.join(view.grain)}`." if view.grain else "One row."
        parts += [f"### `{view.relation}`\n", f"{_about(view)} {grain}\n", _column_table(view.columns)]
    parts += [
        "## Sequences\n",
        "What an encoder reads: the last events of a user in order, each as a row of numbers. They do not depend on "
        "as_of, so an embedding stays valid until its user does something. They are not published.\n",
    ]
    for view in registry.all("sequences"):
        parts += [f"### `{view.ref}`\n", f"{_about(view)}\n", _column_table(view.columns)]
    parts += [
        "## Contents\n",
        "What users buy, in their own terms: the inputs `content:<name>@<version>` of a segmentation. They are not "
        "published; [Content](../content.md) says what is made of them.\n",
    ]
    for view in registry.all("contents"):
        parts += [f"### `{view.ref}`\n", f"{_about(view)}\n", _column_table(view.columns)]
    return "\n".join(parts)


def _feature_section(view: View) -> list[str]:
    rows = [
        (
            f"`{column.name}`",
            _sentence(column.description),
            f"`{column.default}`" if column.default is not None else "NULL",
            _checks(column),
            column.high or "",
            column.low or "",
        )
        for column in view.values
    ]
    reads = [f"`{name}`" for name in (*view.reads, *view.depends_on)]
    return [
        f"## `{view.ref}`\n",
        f"{_about(view)} Reads {', '.join(reads)}.\n",
        _table(("column", "meaning", "default", "checked", "high", "low"), rows),
    ]


def _column_table(columns: Sequence[Column]) -> str:
    rows = [(f"`{column.name}`", _sentence(column.description), _checks(column)) for column in columns]
    return _table(("column", "meaning", "checked"), rows)


def _checks(column: Column) -> str:
    told = []
    for check in column.checks:
        if check.kind == "range":
            low, high = check.arguments
            told.append(f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}")
        elif check.kind == "accepted":
            told.append("one of " + ", ".join(str(value) for value in check.arguments))
        else:
            told.append(check.kind.replace("_", " "))
    return ", ".join(told)


def _about(view: View) -> str:
    return " ".join(f"{view.summary} {view.description}".split())


# Markdown


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    used = [place for place in range(len(head)) if any(row[place] for row in rows)]
    lines = [[head[place] for place in used], ["---"] * len(used), *([row[place] for place in used] for row in rows)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    """Return a cell in which a bar parts no columns, and a placeholder outside of code is no HTML."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _either(values: Iterator[str]) -> str:
    return " or ".join(values)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if not text or text.endswith(".") else f"{text}."


def main() -> int:
    """Write the pages; return how many have changed, for nobody's use but a test's."""
    changed = 0
    for name, text in pages().items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stderr.write(f"wrote {path}\n")
            changed += 1
    return changed


if __name__ == "__main__":
    main()
