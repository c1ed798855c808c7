"""What an encoder foretells of its users: orders and spend within some days, from kept embeddings and their age."""

from dataclasses import dataclass

import numpy as np
import onnxruntime

from sqlseg.encoders.manifest import Encoder, Forecasts
from sqlseg.encoders.session import CPU, check_signature, started
from sqlseg.errors import SqlsegError

_USERS = 16_384
"""Users in a call: what they need stays within some megabytes."""


class NoForecasts(SqlsegError):
    """Forecasts are wanted of an encoder that gives embeddings only."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(
            f"Encoder {encoder.ref} gives embeddings, and no forecasts.",
            hint=f"Choose an encoder whose manifest has the key 'forecasts', or use encoder:{encoder.ref} as an input.",
        )


@dataclass(frozen=True)
class Forecaster:
    """The started forecasting model of an encoder; `described` names its horizons, in days, and its quantities.

    >>> from sqlseg.encoders.manifest import load_encoder
    >>> from sqlseg.resources import resource_root
    >>> forecaster = open_forecaster(load_encoder("behavior@2", [resource_root("onnx_models")]))
    >>> forecaster.described.horizons
    (7, 14, 30, 60, 90, 180)
    >>> forecaster.described.quantities
    ('order_probability', 'expected_orders', 'expected_spend')
    >>> forecaster.forecasts(np.zeros((2, 64)), np.array([3.0, np.nan])).shape
    (2, 6, 3)
    """

    encoder: Encoder
    described: Forecasts
    _session: onnxruntime.InferenceSession

    def forecasts(self, embeddings: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Return (users, horizons, quantities) of embeddings (users, dimensions) and ages (users,).

        An age is the time from the user's last token to the moment that is asked about, in days (fractions count;
        below 0 is taken as 0); a token is any event that the encoder's sequence reads, not only an order. Spend is
        counted in the shop's median orders. NaN for a user whose embedding or age is not known. They are what users of
        many simulated shops did: a shop's own past should correct them before anybody relies on them.
        """
        answers = np.full(
            (len(embeddings), len(self.described.horizons), len(self.described.quantities)), np.nan, dtype=np.float32
        )
        known = np.flatnonzero(np.isfinite(ages) & np.isfinite(embeddings).all(axis=1))
        for start in range(0, len(known), _USERS):
            which = known[start : start + _USERS]
            feed = {
                self.encoder.manifest.output.name: np.ascontiguousarray(embeddings[which], dtype=np.float32),
                self.described.age.name: np.maximum(ages[which], 0).astype(np.float32),
            }
            (answers[which],) = self._session.run([self.described.output.name], feed)
        return answers


def open_forecaster(encoder: Encoder) -> Forecaster:
    """Start the forecasting model of an encoder, on the CPU: a million users take a second or two.

    Raises NoForecasts, and EncoderNotRunnable where the file does not take and give what the manifest says. Encoders
    that `load_encoder` returned have files that are what the manifest says.
    """
    described = encoder.manifest.forecasts
    if described is None:
        raise NoForecasts(encoder)
    path = encoder.folder / described.model
    session = started(path, [CPU])
    check_signature(path, session, (encoder.manifest.output, described.age, described.output))
    return Forecaster(encoder, described, session)
