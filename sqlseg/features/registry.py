"""Every version of every view that a project can use: the shipped ones and the shop's own."""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.errors import SqlsegError
from sqlseg.features.locality import locality_problems
from sqlseg.features.view import BASE_RELATIONS, KINDS, SINGULAR, Column, InvalidView, Kind, View, parse_view
from sqlseg.resources import resource_root, shop_text

__all__ = ["BASE_RELATIONS", "KINDS", "Column", "Kind", "Registry", "View", "parse_ref"]

_MAY_READ: dict[Kind, tuple[Kind, ...]] = {
    "statistics": ("statistics",),
    "features": ("statistics", "features"),
    "sequences": ("statistics",),
    "contents": ("statistics",),
}


class UnknownFeatureView(SqlsegError):
    """A setting, command or view names a view that does not exist."""

    def __init__(self, name: str, known: Collection[str], kind: Kind = "features") -> None:
        super().__init__(
            f"No {SINGULAR[kind]} named {name!r}.",
            hint=f"Choose one of: {', '.join(_closest_first(name, known))}." if known else "There are none.",
        )
        self.name = name


class UnknownVersion(SqlsegError):
    """A view exists, but not in the version that is asked for."""

    def __init__(self, kind: Kind, name: str, version: int, known: Iterable[int]) -> None:
        super().__init__(
            f"The {SINGULAR[kind]} {name!r} has no version {version}.",
            hint=f"Choose one of: {', '.join(f'{name}@{number}' for number in sorted(known))}.",
        )
        self.name = name
        self.version = version


class BadReference(SqlsegError):
    """A view is not named as `name@version`."""

    def __init__(self, text: str, known: Iterable[str] = ()) -> None:
        refs = ", ".join(known)
        super().__init__(
            f"{text!r} names no version of a view.",
            hint=f"Choose one of: {refs}." if refs else "Write name@version, as in rfm@1.",
        )


class DuplicateView(SqlsegError):
    """Two files hold the same version of a view."""

    def __init__(self, view: View, first: Path) -> None:
        super().__init__(
            f"The {SINGULAR[view.kind]} {view.ref} is in two files: {first} and {view.path}.",
            hint=f"Rename one of them, or number it higher: {view.name}__v{view.version + 1}.sql.",
        )


class CyclicViews(SqlsegError):
    """Views read each other in a circle."""

    def __init__(self, relations: Sequence[str], path: Path) -> None:
        super().__init__(
            f"{path}: views read each other in a circle: {' -> '.join(relations)}.",
            hint="Move what they share into a view that reads none of them.",
        )


@dataclass(frozen=True)
class Registry:
    """The views of a project, each checked for itself and against the others."""

    views: tuple[View, ...]

    @classmethod
    def load(cls, roots: Sequence[Path]) -> "Registry":
        """Return the views under `sql/` folders, the shipped one first; one file that is wrong fails the whole.

        So no command works with part of what the project says, and the error names the file.
        """
        return _registry(tuple((kind, path, shop_text(path)) for kind, path in view_files(roots)))

    @classmethod
    def of(cls, views: Iterable[View]) -> "Registry":
        """Return a registry of parsed views, after checking what they read and that they are user-local.

        Those that ship are known to be.
        """
        known: dict[str, View] = {}
        for view in views:
            if view.relation in known:
                raise DuplicateView(view, known[view.relation].path)
            known[view.relation] = view
        registry = cls(tuple(known.values()))
        for view in registry.views:
            registry._check_relations(view)
        registry._check_cycles()
        shipped = resource_root("sql")
        for view in registry.views:
            if view.path.is_relative_to(shipped):
                continue
            for problem in locality_problems(view.kind, view.tree):
                raise InvalidView(view.path, problem.line, problem.message, problem.instead)
        return registry

    def all(self, kind: Kind) -> list[View]:
        """Return the views of a kind, by name and version."""
        return sorted((view for view in self.views if view.kind == kind), key=lambda view: (view.name, view.version))

    def view(self, kind: Kind, ref: str) -> View:
        """Return the view that `rfm@1` names."""
        try:
            name, version = parse_ref(ref)
        except BadReference:
            versions = [view.ref for view in self.all(kind) if view.name == ref]
            raise BadReference(ref, versions) from None
        found = self._versions(kind, name)
        if version not in found:
            raise UnknownVersion(kind, name, version, found)
        return found[version]

    def latest(self, kind: Kind, name: str) -> View:
        """Return the highest version of a view."""
        found = self._versions(kind, name)
        return found[max(found)]

    def by_relation(self, relation: str) -> View:
        """Return the view that `features.rfm_v1` or `stats.shop_scale_v1` names."""
        for view in self.views:
            if view.relation == relation:
                return view
        raise UnknownFeatureView(relation, [view.relation for view in self.views])

    def dependencies(self, view: View) -> list[View]:
        """Return the views that a view reads itself, statistics first."""
        found = (self.by_relation(relation) for relation in view.depends_on)
        return sorted(found, key=lambda view: (KINDS.index(view.kind), view.name, view.version))

    def closure(self, refs: Iterable[str | View], kind: Kind = "features") -> list[View]:
        """Return the named views and all that they read, each after what it reads; names are of the given kind."""
        ordered: dict[str, View] = {}

        def visit(view: View) -> None:
            if view.relation not in ordered:
                for dependency in self.dependencies(view):
                    visit(dependency)
                ordered[view.relation] = view

        for ref in refs:
            visit(ref if isinstance(ref, View) else self.view(kind, ref))
        return list(ordered.values())

    def uses_as_of(self, view: View) -> bool:
        """Return whether a view, or a feature view that it reads, changes with time alone; statistics are frozen."""
        return any(part.uses_as_of for part in self.closure([view]) if part.kind != "statistics" or part is view)

    def fingerprint(self, view: View) -> str:
        """Return the hash of what a view computes together with all that it reads."""
        return sqltext.digest(*(f"{part.relation}={part.computed_fingerprint}" for part in self.closure([view])))

    def _versions(self, kind: Kind, name: str) -> dict[int, View]:
        found = {view.version: view for view in self.all(kind) if view.name == name}
        if not found:
            raise UnknownFeatureView(name, sorted({view.name for view in self.all(kind)}), kind)
        return found

    def _check_relations(self, view: View) -> None:
        for table in view.tree.find_all(exp.Table):
            called = sqltext.function_name(table.this)
            if _READERS.fullmatch(called):
                problem = f"a view reads no files, and this calls {called}()"
                raise InvalidView(view.path, sqltext.line_of(table), problem, _THROUGH_EVENTS)
        readable = [other.relation for kind in _MAY_READ[view.kind] for other in self.all(kind)]
        for table in sqltext.base_tables(view.tree):
            name = sqltext.table_name(table)
            if name in BASE_RELATIONS or name in readable:
                continue
            raise InvalidView(view.path, sqltext.line_of(table), *_unreadable(view, name, readable))

    def _check_cycles(self) -> None:
        try:
            TopologicalSorter({view.relation: view.depends_on for view in self.views}).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            raise CyclicViews(circle, self.by_relation(circle[0]).path) from error


@lru_cache(maxsize=4)
def _registry(files: tuple[tuple[Kind, Path, str], ...]) -> Registry:
    """Return the registry of these texts, which is one as long as they are: a shop is watched for days."""
    return Registry.of(parse_view(kind, path, text) for kind, path, text in files)


def view_files(roots: Sequence[Path]) -> list[tuple[Kind, Path]]:
    """Return the view files under `sql/` folders; other files than `.sql` may lie beside them."""
    return [
        (kind, path)
        for root in roots
        for kind in KINDS
        for path in sorted((root / kind).glob("*"))
        if path.suffix.lower() == ".sql" and not path.name.startswith(".")
    ]


def parse_ref(ref: str) -> tuple[str, int]:
    """Return the name and version of a reference.

    >>> parse_ref("rfm@1")
    ('rfm', 1)
    """
    match = re.fullmatch(r"([a-z][a-z0-9_]*)@([1-9][0-9]{0,8})", ref)
    if match is None:
        raise BadReference(ref)
    return match[1], int(match[2])


_THROUGH_EVENTS = "Bring what it needs in through sql/events.sql."
_READERS = re.compile(r"read_\w+|parquet_\w+|glob|sniff_csv|\w+_scan")


def _unreadable(view: View, name: str, readable: Sequence[str]) -> tuple[str, str]:
    if re.search(r"[/*]|\.(csv|tsv|json|jsonl|ndjson|parquet|txt|xlsx|gz|zst)$", name):
        return f"a view reads no files, and this reads {name!r}", _THROUGH_EVENTS
    versions = [relation for relation in readable if re.fullmatch(re.escape(name) + r"_v[0-9]+", relation)]
    if versions:
        return f"{name!r} does not say which version", f"Write {' or '.join(versions)}."
    may_read = ", ".join([*BASE_RELATIONS, *_closest_first(name, readable)])
    return f"there is no relation {name!r} to read", f"A {SINGULAR[view.kind]} may read {may_read}."


def _closest_first(name: str, known: Iterable[str]) -> list[str]:
    return sorted(known, key=lambda other: (-difflib.SequenceMatcher(None, name, other).ratio(), other))
