"""Embeds the texts of content views, each once, and reads users as the weighted means of theirs."""

from datetime import datetime

import numpy as np
import pyarrow as pa

from sqlseg.encoders.content_manifest import TextEncoder
from sqlseg.encoders.manifest import Device
from sqlseg.encoders.sentences import sentence_encoder, text_function
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import comment_on
from sqlseg.features.view import View
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block, embedding_block

TEXTS_AT_ONCE = 20_000

_COMMENTS = {
    "text_hash": "MD5 of the text; the text itself is not kept here.",
    "embedding": "What the encoder makes of the text.",
    "model_sha256": "Changes with the model, its tokenizer and how its output is used.",
    "provider": "Where it was computed: CPUExecutionProvider or CUDAExecutionProvider.",
    "embedded_at": "When it was computed, in UTC.",
}


def embed_texts(
    engine: Engine, encoder: TextEncoder, view: View, *, embedded_at: datetime, device: Device, threads: int
) -> str | None:
    """Bring `embeddings.text_<encoder>_v<k>` up to date for the texts of a content view; return where that ran.

    It is None where no text was new: then the encoder is not even started.
    Raises MissingPackage, DamagedEncoder, DeviceUnavailable or EncoderNotRunnable.
    """
    table = f"embeddings.{quoted(encoder.table)}"
    _make_table(engine, encoder, table)
    engine.execute(f"create or replace temp view content_rows as select * from sqlseg.{view.table}")
    engine.execute(f"create or replace temp view known_texts as select * from {table}")
    where = {"model_sha256": encoder.fingerprint}
    new = int(engine.value(f"select count(*) from ({sql_text('steps/content/new_texts.sql')})", where))
    provider = None
    if new:
        with sentence_encoder(encoder, device, threads) as sentences, text_function(engine, sentences):
            provider = sentences.provider
            for _ in range(0, new, TEXTS_AT_ONCE):
                rows = engine.table(
                    "select text_hash, embed_text(text) as embedding "
                    f"from ({sql_text('steps/content/new_texts.sql')} limit {TEXTS_AT_ONCE})",
                    where,
                )
                with engine.registered("embedded_texts", rows):
                    engine.execute(f"delete from {table} where text_hash in (select text_hash from embedded_texts)")
                    engine.execute(
                        f"insert into {table} select text_hash, embedding, $model_sha256, $provider, $embedded_at "
                        "from embedded_texts",
                        {**where, "provider": provider, "embedded_at": embedded_at},
                    )
    engine.execute("drop view known_texts; drop view content_rows")
    return provider


def forget_texts(engine: Engine, encoder: TextEncoder, views: list[View]) -> None:
    """Delete the embeddings of texts that no content view holds any more."""
    used = " union all ".join(f"select md5(text) from sqlseg.{view.table}" for view in views)
    engine.execute(f"delete from embeddings.{quoted(encoder.table)} where text_hash not in ({used})")


def read_texts(engine: Engine, name: str, view: View, encoder: TextEncoder) -> Block:
    """Return the weighted mean of the embeddings of each user's texts; a user without any has none."""
    return weighted_means(
        engine,
        name,
        encoder.manifest.dimensions,
        f"select t.user_id, t.weight, e.embedding from sqlseg.{view.table} as t "
        f"join embeddings.{quoted(encoder.table)} as e on e.text_hash = md5(t.text)",
    )


def weighted_means(engine: Engine, name: str, size: int, rows: str) -> Block:
    """Return the weighted mean of each user's embeddings, of a query of user_id, weight and embedding, as a block."""
    means = ", ".join(f"round(sum(weight * embedding[{place}]) / sum(weight), 6)" for place in range(1, size + 1))
    table = engine.table(
        f"select p.user_id, m.embedding from sqlseg.population as p left join (select user_id, [{means}] as embedding "
        f"from ({rows}) group by user_id) as m on m.user_id = p.user_id order by p.user_id"
    )
    column: pa.ListArray = table["embedding"].combine_chunks()
    known = column.is_valid().to_numpy(zero_copy_only=False)
    values = np.full((len(column), size), np.nan)
    values[known] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return embedding_block(name, values)


def _make_table(engine: Engine, encoder: TextEncoder, table: str) -> None:
    if engine.relation_exists("embeddings", encoder.table):
        return
    size = encoder.manifest.dimensions
    engine.execute(
        f"create table {table} (text_hash varchar, embedding float[{size}], model_sha256 varchar, provider varchar, "
        "embedded_at timestamp)"
    )
    comment_on(engine, "table", table, f"Embeddings of texts by the text encoder {encoder.ref}.", _COMMENTS)
