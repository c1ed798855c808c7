"""Brings the embeddings of a refresh up to date."""

from collections.abc import Callable

from sqlseg.encoders.embedding import embed
from sqlseg.encoders.manifest import Encoder
from sqlseg.features.binding import bound_sql
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
    settings = work.project.settings.encoders.get(encoder.manifest.name, EncoderSettings())
    result = embed(
        work.engine,
        encoder,
        f"({bound_sql(sequence, moment.as_of, moment.local_as_of, moment.source, pretty=False)})",
        moment.users,
        everyone=everyone,
        embedded_at=work.run.started_at,
        device="cuda" if work.require_gpu else settings.device,
        threads=work.threads,
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
