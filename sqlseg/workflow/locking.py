"""Holds a project to the views that it has published, and puts newly used versions on record."""

from sqlseg.errors import SqlsegError
from sqlseg.features import lock
from sqlseg.features.lock import Lock
from sqlseg.features.view import View
from sqlseg.workflow.project import Project


class LockNotWritable(SqlsegError):
    """features.lock cannot be written."""


def check_lock(project: Project) -> None:
    """Raise ChangedPublishedView where a published version, shipped or the shop's own, computes something else now."""
    for root in project.sql_roots:
        lock.check_lock(lock.read_lock(root), project.views_under(root))


def lock_new_versions(project: Project, *, every: bool = False) -> tuple[str, ...]:
    """Add versions of the shop's own views to its features.lock; return their refs.

    Those that a refresh computes are added, or with `every` all there are. Raises ChangedPublishedView where a
    published one has changed, and LockNotWritable.
    """
    root = project.sql_roots[1]
    published = lock.read_lock(root)
    used = {view.relation for view in project.computed_views()}
    views = [view for view in project.views_under(root) if every or view.relation in used]
    new = lock.unpublished(published, views)
    updated = lock.locked(published, [view for view in views if view in new or lock.lock_key(view) in published.texts])
    if updated.texts != published.texts:
        try:
            lock.write_lock(root, updated)
        except OSError as error:
            raise LockNotWritable(
                f"{root / lock.LOCK_FILE} cannot be written: {error.strerror or error}.",
                hint="Published views cannot be held to their text without it; check the folder's permissions.",
            ) from error
    return tuple(view.ref for view in new)


def published_lock(project: Project, view: View) -> Lock:
    """Return the lock of the folder that a view lies in."""
    root = next(root for root in project.sql_roots if view.path.is_relative_to(root))
    return lock.read_lock(root)
