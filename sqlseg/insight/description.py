"""Says in one sentence with numbers what a segment is, for people who plan campaigns with it."""

from collections.abc import Mapping, Sequence

import numpy as np

from sqlseg.insight.naming import SegmentName, telling_features
from sqlseg.insight.profile import FeatureProfile, Standing

_FEATURES = 3
_TIMES_FROM, _TOO_MANY_TIMES = 1.5, 10
_DIFFERS_FROM = 0.1


def segment_description(
    segment: int,
    name: SegmentName,
    profile: Sequence[FeatureProfile],
    standing: Standing,
    *,
    share: float,
    revenue_share: float | None = None,
    titles: Mapping[str, str] | None = None,
) -> str:
    """Return what stands out in a segment and how large it is; shares are 0 to 1, `titles` name features in words.

    The features that gave the segment its name come first. A feature is left out whose plain mean goes the other way
    than its robust standing, through a few extreme users, or is within a tenth of the mean of all users: such a
    figure would persuade nobody.
    """
    rows = {row.feature: row for row in profile if row.segment == segment}
    strength = dict(zip(standing.features, standing.z[segment], strict=True))
    mute = {feature for feature in standing.features if not _speaks(rows.get(feature), float(strength[feature]))}
    wanted = [*name.features, *telling_features(standing, segment, _FEATURES, without=mute)]
    parts: list[str] = []
    for feature in [feature for feature in dict.fromkeys(wanted) if feature not in mute][:_FEATURES]:
        row = rows[feature]
        assert row.mean is not None and row.overall_mean is not None
        parts.append(_compared((titles or {}).get(feature, _title(feature)), row.mean, row.overall_mean))
    told = ", ".join(parts) if parts else "Close to the average in everything measured"
    size = f"{_percent(share)} of users"
    if revenue_share is not None:
        size += f", {_percent(revenue_share)} of revenue"
    return f"{told[:1].upper()}{told[1:]}; {size}."


def number_text(value: float) -> str:
    """Return a number as people write it: whole from 100 on, else to about three digits.

    >>> [number_text(x) for x in (12345.6, 71.23, 7.0, 0.0312, 0)]
    ['12,346', '71.2', '7', '0.031', '0']
    """
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    elif size > 0:
        return f"{value:.2g}" if size >= 1e-4 else f"{value:.1e}"
    else:
        return "0"
    return text.rstrip("0").rstrip(".")


def _speaks(row: FeatureProfile | None, strength: float) -> bool:
    if row is None or row.mean is None or row.overall_mean is None:
        return False
    difference = row.mean - row.overall_mean
    return bool(np.sign(difference) == np.sign(strength) and abs(difference) >= _DIFFERS_FROM * abs(row.overall_mean))


def _compared(title: str, mean: float, overall: float) -> str:
    both = f"{number_text(mean)} against {number_text(overall)}"
    if overall <= 0 or mean < 0 or mean > _TOO_MANY_TIMES * overall:
        return f"{title} {both} on average"
    lift = mean / overall
    if lift >= _TIMES_FROM:
        return f"{title} {number_text(round(lift, 1))}x the average ({both})"
    return f"{title} {abs(lift - 1):.0%} {'above' if lift > 1 else 'below'} the average ({both})"


def _title(feature: str) -> str:
    return feature.split("__", 1)[-1].replace("_", " ")


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "under 0.1%"
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"
