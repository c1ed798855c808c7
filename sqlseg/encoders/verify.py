"""Replays an encoder's published answers on this machine."""

from dataclasses import dataclass

import numpy as np

from sqlseg.encoders.batching import encode_ragged
from sqlseg.encoders.manifest import Encoder
from sqlseg.encoders.session import Device, open_session


@dataclass(frozen=True)
class Verification:
    """How an encoder's answers here compare with the published ones."""

    ref: str
    sha256: str
    provider: str
    inputs: str
    output: str
    golden_rows: int
    max_abs_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every answer lies within the tolerance."""
        return self.max_abs_difference <= self.tolerance


def verify_encoder(encoder: Encoder, device: Device = "auto") -> Verification:
    """Return the comparison; raises DamagedEncoder, EncoderNotRunnable or DeviceUnavailable where it cannot be made."""
    session = open_session(encoder, device)
    described = encoder.manifest
    sequences = [np.array(row.tokens, dtype=np.float32) for row in described.golden.rows]
    offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])
    found = encode_ragged(np.concatenate(sequences), offsets, session.run, described.dimensions)
    published = np.array([row.embedding for row in described.golden.rows])

    def shown(name: str, dtype: str, shape: tuple[int | str, ...]) -> str:
        return f"{name} {dtype}[{', '.join(str(size) for size in shape)}]"

    return Verification(
        ref=encoder.ref,
        sha256=described.sha256,
        provider=session.provider,
        inputs=", ".join(shown(tensor.name, tensor.dtype, tensor.shape) for tensor in described.inputs),
        output=shown(described.output.name, described.output.dtype, described.output.shape),
        golden_rows=len(sequences),
        max_abs_difference=float(np.abs(found - published).max()),
        tolerance=described.golden.tolerance,
    )
