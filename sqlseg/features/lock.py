"""Keeps the text of every published version of a view, so that none changes its meaning unseen.

Hashes would not do: another release of sqlglot parses the same text into another tree. So both texts are parsed by
the release that is installed, and the trees compared.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sqlseg.errors import SqlsegError
from sqlseg.features.comparison import compare_views
from sqlseg.features.view import Kind, View, parse_view
from sqlseg.resources import shop_text

LOCK_FILE = "features.lock"

_HEADER = """\
-- The text of every published version of a view; written by `sqlseg features lock`.
-- A published version keeps its meaning: what computes something else is a new version.
"""
_ENTRY = re.compile(
    r"^-{8} (?P<key>(?:statistics|features|sequences|contents)/[a-z0-9_]+__v[0-9]+\.sql)$", re.MULTILINE
)


class UnreadableLock(SqlsegError):
    """A features.lock is not what `features lock` writes."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(
            f"{path}:{line}: {problem}.",
            hint="Restore the file from version control; after a merge, keep the entries of both sides.",
        )


class UnwritableLock(SqlsegError):
    """A features.lock cannot be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written: {error.strerror or error}.", hint="Check its permissions.")


class ChangedPublishedView(SqlsegError):
    """A published version of a view computes something else than when it was published."""

    def __init__(self, change: "Change") -> None:
        new = f"{change.view.name}__v{change.view.version + 1}.sql"
        super().__init__(
            f"{change.view.path}: {change.view.ref} is published, and now has {'; '.join(change.what)}.",
            hint=(
                f"Copy the new text to {new} and restore {change.view.path.name}: "
                f"its published text is in {LOCK_FILE} beside it, under {lock_key(change.view)}."
            ),
        )
        self.change = change


@dataclass(frozen=True)
class Change:
    """A published version that computes something else now, and what, a phrase each."""

    view: View
    published: View
    what: tuple[str, ...]

    @property
    def ref(self) -> str:
        """The version, as in `rfm@1`."""
        return self.view.ref


@dataclass(frozen=True)
class Lock:
    """The published texts, by `features/rfm__v1.sql`."""

    texts: Mapping[str, str]

    def text(self) -> str:
        """Return the file's text: entries by name, so that two branches that add views merge."""
        parts = [f"\n-------- {key}\n{self.texts[key].rstrip()}\n" for key in sorted(self.texts)]
        return _HEADER + "".join(parts)


def parse_lock(text: str, path: Path) -> Lock:
    """Return the published texts that a features.lock holds."""
    entries = list(_ENTRY.finditer(text))
    head = text[: entries[0].start()] if entries else text
    for number, stray in enumerate(head.splitlines(), 1):
        if stray.strip() and not stray.startswith("-- "):
            raise UnreadableLock(path, number, f"{stray!r} belongs to no entry")
    ends = [entry.start() for entry in entries[1:]] + [len(text)]
    texts: dict[str, str] = {}
    for entry, end in zip(entries, ends, strict=False):
        line = text.count("\n", 0, entry.start()) + 1
        body = text[entry.end() : end].strip("\n") + "\n"
        if conflict := re.search(r"^(<{7}|={7}|>{7})", body, re.MULTILINE):
            raise UnreadableLock(path, line + body.count("\n", 0, conflict.start()) + 1, "a merge is not finished")
        if texts.setdefault(entry["key"], body) != body:
            raise UnreadableLock(path, line, f"{entry['key']} has two different texts")
    return Lock(texts)


def read_lock(root: Path) -> Lock:
    """Return the lock of a `sql/` folder; an empty one where nothing has been published yet."""
    path = root / LOCK_FILE
    return parse_lock(shop_text(path), path) if path.exists() else Lock({})


def write_lock(root: Path, lock: Lock) -> None:
    """Write the lock of a `sql/` folder. Raises UnwritableLock."""
    path = root / LOCK_FILE
    try:
        path.write_text(lock.text(), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UnwritableLock(path, error) from error


def lock_key(view: View) -> str:
    """Return the name of a view's entry: `features/rfm__v1.sql`."""
    return f"{view.kind}/{view.path.name}"


def changed(lock: Lock, views: Iterable[View]) -> list[Change]:
    """Return the published versions among some views that compute something else now, by name.

    Comments, spacing and the case of words are free, and so are descriptions and checks; defaults are not, since they
    are values that people read.
    """
    changes = []
    for view in sorted(views, key=lambda view: (view.kind, view.name, view.version)):
        text = lock.texts.get(lock_key(view))
        if text is None or text.strip() == view.text.strip():
            continue
        published = parse_view(view.kind, view.path, text)
        comparison = compare_views(published, view)
        if not comparison.same_result:
            changes.append(Change(view, published, tuple(comparison.summary())))
    return changes


def unpublished(lock: Lock, views: Iterable[View]) -> list[View]:
    """Return the views that a lock does not hold yet."""
    return [view for view in views if lock_key(view) not in lock.texts]


def removed(lock: Lock, views: Iterable[View]) -> list[str]:
    """Return the refs of published versions whose file is gone."""
    present = {lock_key(view) for view in views}
    return [_ref(key) for key in sorted(lock.texts) if key not in present]


def check_lock(lock: Lock, views: Iterable[View]) -> None:
    """Raise `ChangedPublishedView` for the first published version that computes something else now."""
    for change in changed(lock, views):
        raise ChangedPublishedView(change)


def locked(lock: Lock, views: Iterable[View]) -> Lock:
    """Return a lock that also holds some views, after checking that none of those published has changed.

    Comments of published versions are brought up to date; entries whose file is gone stay.
    """
    views = list(views)
    check_lock(lock, views)
    return Lock({**lock.texts, **{lock_key(view): view.text.strip("\n") + "\n" for view in views}})


def published_view(lock: Lock, key: str, root: Path) -> View:
    """Return the published version that an entry holds."""
    kind = cast(Kind, key.partition("/")[0])
    return parse_view(kind, root / key, lock.texts[key])


def _ref(key: str) -> str:
    name, _, version = key.partition("/")[2].removesuffix(".sql").rpartition("__v")
    return f"{name}@{version}"
