"""Brings the embeddings of a refresh up to date."""

from collections.abc import Callable
from dataclasses import replace

from sqlseg.encoders.embedding import NUMBERED_USERS, embed
from sqlseg.encoders.manifest import Encoder
from sqlseg.features.binding import bound_sql
from sqlseg.features.view import View
from sqlseg.resources import resource_root
from sqlseg.settings import EncoderSettings
from sqlseg.workflow.materialise import Moment
from sqlseg.workflow.work import Work


def embed_users(
    work: Work,
    encoder: Encoder,
    moment: Moment,
    *,
    everyone: bool,
    meanwhile: Callable[[], None] | None = None,
    encoded: Callable[[float], None] | None = None,
) -> None:
    """Embed those of the moment's users whose tokens have changed, as of a moment.

    Without `everyone` the moment's events are those of a few users, and embeddings of the others stay. `meanwhile` is
    other work for the database, for which there is time while the last users are being encoded. `encoded` hears of the
    share of the users whose tokens have been read.
    """
    sequence = work.project.registry.view("sequences", encoder.manifest.sequence)
    tokens, numbered = tokens_sql(sequence, moment)
    settings = work.project.settings.encoders.get(encoder.manifest.name, EncoderSettings())
    result = embed(
        work.engine,
        encoder,
        tokens,
        moment.users,
        everyone=everyone,
        embedded_at=work.run.started_at,
        device="cuda" if work.require_gpu else settings.device,
        threads=work.threads,
        numbered=numbered,
        meanwhile=meanwhile,
        encoded=encoded,
    )
    if not moment.of_everyone:
        work.engine.execute(
            f'delete from embeddings."{encoder.table}" where user_id in (select user_id from touched_users) '
            f"and user_id not in (select user_id from {moment.users})"
        )
    if result.users_embedded:
        work.provider = result.provider


def tokens_sql(sequence: View, moment: Moment) -> tuple[str, bool]:
    """Return a sequence view as a SELECT in parentheses, and whether its user_id is a place in `NUMBERED_USERS`.

    It is one for shipped views, which only group by it and compare it; a shop's own may do anything with an id.
    """
    numbered, source = sequence.path.is_relative_to(resource_root("sql")), moment.source
    if numbered:
        events = (
            f"(select u.place as user_id, e.* exclude (user_id) from {source.events} as e "
            f"join {NUMBERED_USERS} as u on u.user_id = e.user_id)"
        )
        source = replace(source, events=events)
    return f"({bound_sql(sequence, moment.as_of, moment.local_as_of, source, pretty=False)})", numbered
