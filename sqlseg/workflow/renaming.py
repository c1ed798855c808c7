"""Names that people give to segments."""

from sqlseg.errors import SqlsegError
from sqlseg.workflow.holding import Patience
from sqlseg.workflow.narration import Narrator
from sqlseg.workflow.project import Project
from sqlseg.workflow.published import check_privacy
from sqlseg.workflow.publishing import mark_unpublished, publish_whole
from sqlseg.workflow.warehouse import open_warehouse

_LONGEST = 200


class CannotRename(SqlsegError):
    """A segment cannot get the name that was asked for."""


def rename_segment(
    project: Project, segment_id: str, text: str, narrator: Narrator, patience: Patience | None = None
) -> tuple[str, str]:
    """Give a segment a name in the warehouse and in the published file; return the names before and after.

    An empty text takes a given name back; the segment is then called by its id until the next fit names it.
    Raises CannotRename where the segment is not in use, or its segmentation has another of that name.
    """
    name = text.strip()
    if len(name) > _LONGEST or any(not c.isprintable() for c in name):
        raise CannotRename(
            f"A segment name is one line of at most {_LONGEST} printable characters, got {len(name)}: {name[:60]!r}.",
            hint="Shorten it, or leave control characters and marks of direction out.",
        )
    check_privacy(project)
    with open_warehouse(project, "sqlseg segments rename", patience) as engine:
        known = engine.rows(
            "select segment_id, segmentation, segment_name from segments.segment where retired_at is null order by 1"
        )
        found = next((row for row in known if row[0] == segment_id), None)
        if found is None:
            listed = ", ".join(row[0] for row in known) or "none yet; run `sqlseg refresh`"
            raise CannotRename(f"No segment in use has the id {segment_id!r}.", hint=f"Segments in use: {listed}.")
        name = name or segment_id
        taken = next(
            (
                row[0]
                for row in known
                if row[1] == found[1] and row[0] != segment_id and row[2].casefold() == name.casefold()
            ),
            None,
        )
        if taken is not None:
            raise CannotRename(f"{taken} is called {name!r} already.", hint="Names are distinct within a segmentation.")
        values = {"segment_id": segment_id, "name": name}
        with engine.transaction():
            engine.execute("delete from sqlseg.segment_name where segment_id = $segment_id", {"segment_id": segment_id})
            if text.strip():
                engine.execute("insert into sqlseg.segment_name values ($segment_id, $name)", values)
            for table in ("segment", "membership", "daily"):
                engine.execute(
                    f"update segments.{table} set segment_name = $name where segment_id = $segment_id", values
                )
            mark_unpublished(engine)
        with narrator.step("Publishing"):
            publish_whole(engine, project)
    return str(found[2]), name
