"""Replays an encoder's published answers on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.encoders.batching import Batching, encode_ragged, pad_right
from sqlseg.encoders.forecasting import open_forecaster
from sqlseg.encoders.manifest import Device, Encoder, Tensor
from sqlseg.encoders.session import CPU, EncoderSession, open_session

GPU_COSINE = 1e-3
"""How far embeddings of the CPU and a GPU may lie apart, as a cosine distance."""

PADDING = (
    "Let the model use its second input, the number of real tokens: mask what lies behind, divide sums by that number, "
    "and take the last real state of a recurrent layer instead of the last one."
)


@dataclass(frozen=True)
class Verification:
    """How an encoder's answers here compare with the published ones.

    Forecasts are compared by their difference over the published figure where that is more than 1; they come from the
    model, and once more from the embedding. `forecast_difference` is None where the encoder gives none.
    """

    ref: str
    sha256: str
    provider: str
    inputs: str
    output: str
    golden_rows: int
    max_abs_difference: float
    tolerance: float
    forecasts: str | None = None
    forecast_difference: float | None = None
    cosine_distance: float = 0.0
    padding_difference: float = 0.0

    @property
    def largest_difference(self) -> float:
        """How far the worst answer lies from the published one; NaN where one is not a number."""
        return float(np.max([self.max_abs_difference, self.forecast_difference or 0.0]))

    @property
    def passed(self) -> bool:
        """Whether every answer lies within the tolerance, or on a GPU, which adds up otherwise, within GPU_COSINE."""
        return not self.problems

    @property
    def problems(self) -> list[tuple[str, str]]:
        """What is wrong, and what to do about it."""
        found = []
        if self.provider != CPU:
            if not self.cosine_distance <= GPU_COSINE:
                told = (
                    f"embeddings on {self.provider} are {self.cosine_distance:.1e} away in cosine, over {GPU_COSINE:g}"
                )
                found.append((told, 'Set device = "cpu" for this encoder.'))
        elif not self.largest_difference <= self.tolerance:
            found.append(
                (
                    f"answers differ from the golden rows by up to {self.largest_difference:.1e}, over the manifest's "
                    f"{self.tolerance:g}",
                    "If the model was exported anew, its manifest is an older one: give it a new version, or while "
                    "nothing uses it yet, run `sqlseg encoders manifest --replace`.",
                )
            )
        if not self.padding_difference <= max(self.tolerance, 0.0 if self.provider == CPU else GPU_COSINE):
            found.append((f"padding to the right changes an answer by {self.padding_difference:.1e}", PADDING))
        return found


def verify_encoder(encoder: Encoder, device: Device = "auto") -> Verification:
    """Return the comparison; raises DamagedEncoder, EncoderNotRunnable or DeviceUnavailable where it cannot be made."""
    session = open_session(encoder, device)
    described = encoder.manifest
    told = described.forecasts
    sequences = [np.array(row.tokens, dtype=np.float32) for row in described.golden.rows]
    offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])
    found = encode_ragged(np.concatenate(sequences), offsets, session.run, described.dimensions)
    published = np.array([row.embedding for row in described.golden.rows])
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(published, axis=1)
    cosine = (found * published).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)

    def shown(name: str, dtype: str, shape: tuple[int | str, ...]) -> str:
        return f"{name} {dtype}[{', '.join(str(size) for size in shape)}]"

    return Verification(
        ref=encoder.ref,
        sha256=described.sha256,
        provider=session.provider,
        inputs=", ".join(
            shown(tensor.name, tensor.dtype, tensor.shape)
            for tensor in (*described.inputs, *(() if told is None else (told.age,)))
        ),
        output=shown(described.output.name, described.output.dtype, described.output.shape),
        golden_rows=len(sequences),
        max_abs_difference=float(np.abs(found - published).max()),
        tolerance=described.golden.tolerance,
        forecasts=None if told is None else shown(told.output.name, told.output.dtype, told.output.shape),
        forecast_difference=None if told is None else _forecast_difference(session, sequences),
        cosine_distance=float(np.where(lengths > 0, 1 - cosine, 0.0).max()),
        padding_difference=padding_difference(session, sequences),
    )


def compared(
    ref: str,
    sha256: str,
    provider: str,
    tensors: tuple[Sequence[Tensor], Tensor],
    found: np.ndarray,
    published: np.ndarray,
    tolerance: float,
) -> Verification:
    """Return how the embeddings of contents, rows x dimensions, compare with the published ones."""

    def shown(tensor: Tensor) -> str:
        return f"{tensor.name} {tensor.dtype}[{', '.join(str(size) for size in tensor.shape)}]"

    inputs, output = tensors
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(published, axis=1)
    return Verification(
        ref=ref,
        sha256=sha256,
        provider=provider,
        inputs=", ".join(shown(tensor) for tensor in inputs),
        output=shown(output),
        golden_rows=len(published),
        max_abs_difference=float(np.abs(found - published).max()),
        tolerance=tolerance,
        cosine_distance=float((1 - (found * published).sum(axis=1) / np.maximum(lengths, 1e-12)).max()),
    )


def padding_difference(session: EncoderSession, sequences: list[np.ndarray]) -> float:
    """Return by how much an embedding changes at most when zeros are padded to the right of its sequence."""
    offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])
    lengths = np.diff(offsets)
    values = np.concatenate(sequences)
    alone = encode_ragged(values, offsets, session.run, session.encoder.manifest.dimensions, Batching(1, 0))
    together = session.run(pad_right(values, offsets[:-1], lengths), lengths)
    return float(np.abs(alone - together).max())


def _forecast_difference(session: EncoderSession, sequences: list[np.ndarray]) -> float:
    rows = session.encoder.manifest.golden.rows
    published = np.array([row.forecasts for row in rows])
    ages = np.array([row.age for row in rows], dtype=np.float32)
    found = [
        session.run_with_forecasts(tokens[None], np.array([len(tokens)]), age[None])
        for tokens, age in zip(sequences, ages, strict=True)
    ]
    from_tokens = np.concatenate([forecasts for _, forecasts in found])
    embeddings = np.concatenate([embedding for embedding, _ in found])
    from_embeddings = open_forecaster(session.encoder).forecasts(embeddings, ages)
    scale = np.maximum(np.abs(published), 1.0)
    return float(max((np.abs(told - published) / scale).max() for told in (from_tokens, from_embeddings)))
