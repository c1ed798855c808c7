"""A sentence encoder over Arrow: texts in, one embedding each; the cutting, padding and running are those of tokens."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnxruntime
import pyarrow as pa

from sqlseg.encoders.batching import ON_CPU, ON_GPU, encode_ragged
from sqlseg.encoders.content_manifest import TextEncoder, check_text_encoder
from sqlseg.encoders.manifest import Device
from sqlseg.encoders.session import CPU, EncoderNotRunnable, check_signature, start_on
from sqlseg.encoders.verify import Verification, compared

FUNCTION = "embed_text"


class FunctionHost(Protocol):
    """A database that can be given a Python function, such as `sqlseg.engine.duckdb.Engine`."""

    def create_vector_function(
        self, name: str, function: "SentenceEncoder", parameters: list[str], returns: str
    ) -> None:
        """Make the function callable from SQL."""

    def drop_function(self, name: str) -> None:
        """Take it back."""


@dataclass(frozen=True)
class SentenceEncoder:
    """A started sentence encoder. It computes with one thread; with an executor, batches run side by side."""

    encoder: TextEncoder
    provider: str
    _session: onnxruntime.InferenceSession
    _tokenizer: Any
    executor: Executor | None = None

    def __call__(self, column: pa.ChunkedArray | pa.Array) -> pa.Array:
        """Return FixedSizeList<float>[dimensions], one for each text; NULL for NULL."""
        texts = column.to_pylist()
        known = np.array([text is not None for text in texts], dtype=bool)
        embeddings = self.embeddings([text or "" for text in texts])
        return pa.FixedSizeListArray.from_arrays(
            pa.array(embeddings.ravel()), embeddings.shape[1], mask=pa.array(~known)
        )

    def embeddings(self, texts: list[str]) -> np.ndarray:
        """Return (texts, dimensions); of a long text the first tokens count."""
        described = self.encoder.manifest
        encoded = self._tokenizer.encode_batch([described.prefix + text for text in texts])
        lengths = np.array([len(one.ids) for one in encoded], dtype=np.int64)
        ids = np.array([token for one in encoded for token in one.ids], dtype=np.int64).reshape(-1, 1)
        batching = ON_CPU if self.provider == CPU else ON_GPU
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return encode_ragged(ids, offsets, self._run, described.dimensions, batching, self.executor)

    def _run(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        described = self.encoder.manifest
        ids = tokens[:, :, 0]
        real = np.arange(ids.shape[1]) < lengths[:, None]
        feed = {described.inputs[0].name: ids}
        for tensor in described.inputs[1:]:
            feed[tensor.name] = real.astype(np.int64) if tensor.name == "attention_mask" else np.zeros_like(ids)
        try:
            [found] = self._session.run([described.output.name], feed)
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise EncoderNotRunnable(self.encoder.model_path, " ".join(str(error).split())) from error
        if described.pooling == "mean":
            found = (found * real[:, :, None]).sum(axis=1) / lengths[:, None]
        elif described.pooling == "first":
            found = found[:, 0]
        if described.normalize:
            found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        result: np.ndarray = found.astype(np.float32)
        return result


@contextmanager
def sentence_encoder(encoder: TextEncoder, device: Device = "auto", threads: int = 1) -> Iterator[SentenceEncoder]:
    """Start a sentence encoder on so many threads, for as long as the block runs.

    Raises MissingPackage, DamagedEncoder, DeviceUnavailable or EncoderNotRunnable.
    """
    check_text_encoder(encoder)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder.tokenizer_path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=encoder.manifest.max_tokens)
    session, provider = start_on(encoder.model_path, device)
    check_signature(encoder.model_path, session, (*encoder.manifest.inputs, encoder.manifest.output))
    with ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="encode") as executor:
        yield SentenceEncoder(encoder, provider, session, tokenizer, executor if provider == CPU else None)


def verify_text_encoder(encoder: TextEncoder, device: Device = "auto") -> Verification:
    """Return how the answers here compare with the published ones; raises what starting the encoder raises."""
    described = encoder.manifest
    with sentence_encoder(encoder, device) as sentences:
        found = sentences.embeddings([row.text for row in described.golden.rows])
        provider = sentences.provider
    published = np.array([row.embedding for row in described.golden.rows])
    tensors = (described.inputs, described.output)
    return compared(encoder.ref, described.sha256, provider, tensors, found, published, described.golden.tolerance)


@contextmanager
def text_function(host: FunctionHost, encoder: SentenceEncoder) -> Iterator[None]:
    """Make the encoder callable in SQL as `embed_text(text)` while the block runs."""
    host.create_vector_function(FUNCTION, encoder, ["VARCHAR"], f"FLOAT[{encoder.encoder.manifest.dimensions}]")
    try:
        yield
    finally:
        host.drop_function(FUNCTION)
