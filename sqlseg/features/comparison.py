"""Says what differs between two versions, or two texts, of a view."""

import difflib
from dataclasses import dataclass

from sqlglot import exp

from sqlseg import sqltext
from sqlseg.features.view import View


@dataclass(frozen=True)
class ViewComparison:
    """What a newer text of a view has that an older one has not.

    `changed` columns have another expression in the last SELECT, or another default. `same_result` is whether both
    compute the same; `body_changed` whether they differ outside of the last SELECT's columns.
    """

    old: str
    new: str
    same_result: bool
    body_changed: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    redescribed: tuple[str, ...]
    reads_added: tuple[str, ...]
    reads_removed: tuple[str, ...]
    text: tuple[str, ...]

    def summary(self) -> list[str]:
        """Return what differs in the result, a phrase each; nothing where both compute the same."""
        if self.same_result:
            return []
        phrases = [
            f"{label} {', '.join(names)}"
            for label, names in (
                ("columns added:", self.added),
                ("columns removed:", self.removed),
                ("columns changed:", self.changed),
                ("reads now", self.reads_added),
                ("no longer reads", self.reads_removed),
            )
            if names
        ]
        if self.body_changed:
            phrases.append("another FROM, WHERE, GROUP BY or CTE")
        return phrases or ["another order of columns, or another grain"]


def compare_views(old: View, new: View) -> ViewComparison:
    """Return what differs from one view to another, usually two versions of one name."""
    before, after = ({column.name: column for column in view.columns} for view in (old, new))
    expressions = [
        {column.output_name.lower(): sqltext.fingerprint(column) for column in sqltext.output_columns(view.tree)}
        for view in (old, new)
    ]
    shared = [name for name in after if name in before]
    old_reads, new_reads = ({*view.reads, *view.depends_on} for view in (old, new))
    return ViewComparison(
        old=old.ref,
        new=new.ref,
        same_result=old.computed_fingerprint == new.computed_fingerprint,
        body_changed=_body(old) != _body(new),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(
            name
            for name in shared
            if expressions[0][name] != expressions[1][name] or before[name].default != after[name].default
        ),
        redescribed=tuple(name for name in shared if _words(before[name]) != _words(after[name])),
        reads_added=tuple(sorted(new_reads - old_reads)),
        reads_removed=tuple(sorted(old_reads - new_reads)),
        text=tuple(
            difflib.unified_diff(old.text.splitlines(), new.text.splitlines(), str(old.ref), str(new.ref), lineterm="")
        ),
    )


def _body(view: View) -> str:
    tree = view.tree.copy()
    last = tree
    while isinstance(last, exp.SetOperation | exp.Subquery):
        last = last.this
    last.set("expressions", [exp.Star()])
    return sqltext.fingerprint(tree)


def _words(column: object) -> tuple[object, ...]:
    return tuple(getattr(column, name) for name in ("description", "checks", "high", "low"))
