"""Embeds the image files of content views, each content once, and reads users as the weighted means of theirs."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from sqlseg.encoders.image_manifest import ImageEncoder
from sqlseg.encoders.images import StartedImageEncoder, image_encoder
from sqlseg.encoders.manifest import Device
from sqlseg.engine.duckdb import Engine, quoted
from sqlseg.engine.warehouse import comment_on
from sqlseg.errors import SqlsegError
from sqlseg.features.view import View
from sqlseg.resources import sql_text
from sqlseg.segments.blocks import Block
from sqlseg.workflow.texts import weighted_means

FILES = "image_file"
"""The table in the schema sqlseg that says what is in each file: its image and image_hash, NULL without a file."""

IMAGES_AT_ONCE = 64

_COMMENTS = {
    "image_hash": "SHA-256 of the image file; neither path nor image is kept here.",
    "embedding": "What the encoder makes of the image.",
    "model_sha256": "Changes with the model, the preprocessing and how its output is used.",
    "provider": "Where it was computed: CPUExecutionProvider or CUDAExecutionProvider.",
    "embedded_at": "When it was computed, in UTC.",
}


class NoImages(SqlsegError):
    """Of the images that an input names, none can be used."""

    def __init__(self, count: int, problem: str, root: Path) -> None:
        super().__init__(
            f"None of the {count:,} images of the items that users buy can be used: {problem}.",
            hint=f"Give image_path in sql/items.sql as seen from {root}, in a format that Pillow reads, or take the "
            "images out of inputs.",
        )


def embed_images(
    engine: Engine,
    encoder: ImageEncoder,
    root: Path,
    views: Sequence[View],
    *,
    embedded_at: datetime,
    device: Device,
    threads: int,
) -> str | None:
    """Bring `embeddings.image_<encoder>_v<k>` up to date for the files of content views; return where that ran.

    It is None where the content of no file was new: then the encoder is not even started.
    Raises MissingPackage, DamagedEncoder, DeviceUnavailable or EncoderNotRunnable.
    """
    table = f"embeddings.{quoted(encoder.table)}"
    _make_table(engine, encoder, table)
    named = " union ".join(f"select image from sqlseg.{quoted(view.table)}" for view in views)
    images = engine.table(f"select image from ({named}) order by image")["image"].to_pylist()
    hashes = [_hash(_content(root, image)) for image in images]
    files = pa.table({"image": pa.array(images, pa.string()), "image_hash": pa.array(hashes, pa.string())})
    with engine.registered("image_files", files):
        engine.execute(f"create or replace table sqlseg.{FILES} as select * from image_files")
    engine.execute(f"create or replace temp view known_images as select * from {table}")
    where = {"model_sha256": encoder.fingerprint}
    new = engine.table(sql_text("steps/content/new_images.sql"), where).to_pylist()
    engine.execute("drop view known_images")
    if not new:
        return None
    with image_encoder(encoder, device, threads) as started:
        for start in range(0, len(new), IMAGES_AT_ONCE):
            rows = _embedded(started, root, new[start : start + IMAGES_AT_ONCE])
            with engine.registered("embedded_images", rows):
                engine.execute(f"delete from {table} where image_hash in (select image_hash from embedded_images)")
                engine.execute(
                    f"insert into {table} select image_hash, embedding, $model_sha256, $provider, $embedded_at "
                    "from embedded_images",
                    {**where, "provider": started.provider, "embedded_at": embedded_at},
                )
        return started.provider


def _embedded(started: StartedImageEncoder, root: Path, new: Sequence[dict[str, str]]) -> pa.Table:
    """Return image_hash and embedding of those files that are readable images."""
    contents = [_content(root, one["image"]) for one in new]
    # What changed since its hash was taken would be kept under the hash of another image.
    same = [
        (one["image_hash"], content)
        for one, content in zip(new, contents, strict=True)
        if content is not None and _hash(content) == one["image_hash"]
    ]
    found = started.embeddings([content for _, content in same])
    known = ~np.isnan(found).any(axis=1)
    hashes = [image_hash for (image_hash, _), readable in zip(same, known, strict=True) if readable]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(found[known].ravel()), found.shape[1])
    return pa.table({"image_hash": pa.array(hashes, pa.string()), "embedding": vectors})


def forget_images(engine: Engine, encoder: ImageEncoder) -> None:
    """Delete the embeddings of what is in no file of a content view any more."""
    engine.execute(
        f"delete from embeddings.{quoted(encoder.table)} "
        f"where image_hash not in (select image_hash from sqlseg.{FILES} where image_hash is not null)"
    )


def image_problems(engine: Engine, encoder: ImageEncoder, root: Path) -> tuple[str, ...]:
    """Return in words what cannot be used of the images that were named. Raises NoImages where that is everything."""
    rows = engine.rows(
        f"select image_hash is null as missing, count(*), min(image) from sqlseg.{FILES} "
        f"where image_hash is null or image_hash not in (select image_hash from embeddings.{quoted(encoder.table)}) "
        "group by missing order by missing desc"
    )
    if not rows:
        return ()
    total = int(engine.value(f"select count(*) from sqlseg.{FILES}"))
    told = []
    for missing, count, first in rows:
        problem = "cannot be opened" if missing else "cannot be read as an image"
        told.append(f"{count:,} {problem} (such as {first!r})")
    if sum(count for _, count, _ in rows) == total:
        raise NoImages(total, " and ".join(told), root)
    return (f"Of {total:,} images of items {' and '.join(told)}; they are left out of users' means.",)


def read_images(engine: Engine, name: str, view: View, encoder: ImageEncoder) -> Block:
    """Return the weighted mean of the embeddings of each user's images; a user without any has none."""
    return weighted_means(
        engine,
        name,
        encoder.manifest.dimensions,
        f"select v.user_id, v.weight, e.embedding from sqlseg.{quoted(view.table)} as v "
        f"join sqlseg.{FILES} as f on f.image = v.image "
        f"join embeddings.{quoted(encoder.table)} as e on e.image_hash = f.image_hash",
    )


def files_fingerprint(engine: Engine, root: Path) -> str:
    """Return what changes when an image of an item is written, from size and time of its file alone."""
    if "image_path" not in engine.columns("sqlseg", "items"):
        return ""
    images = engine.table("select distinct image_path::varchar as image from sqlseg.items where image is not null")
    digest = hashlib.sha256()
    for part in _seen(root, sorted(images["image"].to_pylist())):
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _seen(root: Path, images: Iterable[str]) -> Iterator[str]:
    for image in images:
        try:
            state = (root / image).stat()
        except (OSError, ValueError):
            yield f"{image}\n-\n"
        else:
            yield f"{image}\n{state.st_size} {state.st_mtime_ns}\n"


def _content(root: Path, image: str) -> bytes | None:
    """Return what is in an image's file, None where there is none or it cannot be opened."""
    try:
        path = root / image
        return path.read_bytes() if path.is_file() else None
    except (OSError, ValueError):  # a NUL in a path is a ValueError
        return None


def _hash(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _make_table(engine: Engine, encoder: ImageEncoder, table: str) -> None:
    if engine.relation_exists("embeddings", encoder.table):
        return
    size = encoder.manifest.dimensions
    engine.execute(
        f"create table {table} (image_hash varchar, embedding float[{size}], model_sha256 varchar, provider varchar, "
        "embedded_at timestamp)"
    )
    comment_on(engine, "table", table, f"Embeddings of images by the image encoder {encoder.ref}.", _COMMENTS)
