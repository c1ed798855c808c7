"""Decides whether the users have outgrown the model that places them, from what was measured of them."""

from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import FloatArray
from sqlseg.segments.drift import Drift
from sqlseg.settings import DriftLimits

FAR_QUANTILE = 0.99
"""A user is far from every segment beyond this quantile of the distances at the fit, so 1% are far on the first day."""
_CHANCE = 0.001


@dataclass(frozen=True)
class Evidence:
    """What was measured of the users of a model: drift by input, how many are far from every segment, its age.

    `far_count` is None where the model has no distances, or was fitted by the first release.
    """

    drift: tuple[Drift, ...]
    far_count: int | None
    user_count: int
    fit_user_count: int
    age_days: int

    @property
    def shifted(self) -> tuple[Drift, ...]:
        """The inputs that have shifted, the worst first."""
        return tuple(sorted((row for row in self.drift if row.status == "shift"), key=lambda row: -row.psi))

    @property
    def far_share(self) -> float | None:
        """The share of users far from every segment."""
        return None if self.far_count is None or not self.user_count else self.far_count / self.user_count


def far_distance(distances: FloatArray) -> float | None:
    """Return the distance beyond which a user is far from every segment, from those at the fit; None without any.

    >>> far_distance(np.arange(101.0))
    99.0
    """
    known = distances[~np.isnan(distances)]
    return float(np.quantile(known, FAR_QUANTILE)) if known.size else None


def reasons_to_refit(found: Evidence, limits: DriftLimits) -> tuple[str, ...]:
    """Return why a model should be fitted again, nothing while it still serves.

    One input alone moves for reasons of its own, so a share of them must have shifted. Few users are far by chance:
    more of them must be than once in a thousand draws of that many.
    """
    reasons = []
    if found.drift and len(found.shifted) >= max(1.0, limits.share * len(found.drift)):
        told = ", ".join(f"{row.feature} (PSI {row.psi:.2f}, KS {row.ks:.2f})" for row in found.shifted[:3])
        reasons.append(
            f"{len(found.shifted)} of {len(found.drift)} inputs have shifted since the fit, most of all {told}"
        )
    share = found.far_share
    if share is not None and share >= limits.far and _more_than_chance(found):
        reasons.append(
            f"{share:.1%} of users are farther from every segment than 99% were at the fit (limit {limits.far:.0%})"
        )
    if found.age_days >= limits.days:
        reasons.append(f"the model is {found.age_days:,} days old (limit {limits.days:,})")
    return tuple(reasons)


def told_in_brief(found: Evidence, limits: DriftLimits) -> str:
    """Return the evidence in words, beside the limits."""
    parts = []
    if found.drift:
        wanted = max(1, int(np.ceil(limits.share * len(found.drift))))
        parts.append(f"{len(found.shifted)} of {len(found.drift)} inputs have shifted (limit {wanted})")
    if found.far_share is not None:
        parts.append(f"{found.far_share:.1%} of users are far from every segment (limit {limits.far:.0%})")
    parts.append(f"the model is {found.age_days:,} days old (limit {limits.days:,})")
    return ", ".join(parts)


def _more_than_chance(found: Evidence) -> bool:
    from scipy.special import bdtrc  # takes a quarter of a second to import

    assert found.far_count is not None
    # The quantile of few users lies low: of those to come, one in their number lies above the farthest.
    expected = 1 - FAR_QUANTILE + 1 / (found.fit_user_count + 1)
    return found.far_count > 0 and float(bdtrc(found.far_count - 1, found.user_count, min(1.0, expected))) < _CHANCE
