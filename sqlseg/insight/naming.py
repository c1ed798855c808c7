"""Names segments by what sets them apart, in the phrases that feature views carry (`#high(..)`, `#low(..)`).

A name has the one or two strongest phrases, a third only to tell two segments apart. "Strong" is half a standard
deviation from the mean of all users (a medium effect, Cohen 1988). Phrases that contradict each other never stand
together; of one view, or of features that go up and down together, one speaks for all. Names say how users are: what is
foretold of them ("likely to order") is spoken of only where nothing that they did stands out.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sqlseg.insight.profile import Standing
from sqlseg.segments.blocks import FloatArray
from sqlseg.segments.choice_of_k import SMALLEST_SHARE

AVERAGE = "Typical shoppers"
SMALL = " (small group)"
STRONG_AT, NOTICEABLE_AT = 0.5, 0.25
TOGETHER_AT = 0.6
_USUAL_PHRASES = 2
_APART_FROM = 0.1


@dataclass(frozen=True)
class Phrases:
    """What a marketer calls users who are high, or low, on a feature; None where there is no natural word.

    `foretold` marks what users are expected to do, in distinction from what they did.
    """

    high: str | None = None
    low: str | None = None
    foretold: bool = False


@dataclass(frozen=True)
class SegmentName:
    """A name and the features its phrases come from, the strongest first."""

    text: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class _Trait:
    """A phrase that holds for a segment, and the feature (by position) that says so."""

    feature: int
    phrase: str


def segment_names(
    standing: Standing,
    phrases: Mapping[str, Phrases],
    shares: Sequence[float] | FloatArray,
    keep: Mapping[int, str] | None = None,
) -> tuple[SegmentName, ...]:
    """Return a name for each segment, all different; `keep` holds names that stay as they are.

    Features without phrases, embeddings among them, are never spoken of. Segments under 1% of users are marked as
    small, and those close to the mean in everything are average.

    >>> standing = Standing(("rfm__recency_days",), np.array([[1.2], [0.1]]), np.eye(1))
    >>> names = segment_names(standing, {"rfm__recency_days": Phrases("lapsed", "recently active")}, [0.2, 0.8])
    >>> [name.text for name in names]
    ['Lapsed', 'Typical shoppers']
    """
    kept = dict(keep or {})
    taken = {_words(text) for text in kept.values()}
    opposites = _opposites(phrases)
    names: dict[int, SegmentName] = {segment: SegmentName(text, ()) for segment, text in kept.items()}
    traits_of: dict[int, list[_Trait]] = {}
    # The largest segment has first claim to a name.
    for segment in sorted(range(len(shares)), key=lambda i: (-shares[i], i)):
        if segment in kept:
            continue
        base = _telling(standing, phrases, opposites, segment)
        marker = SMALL if shares[segment] < SMALLEST_SHARE else ""
        for traits, text in _candidates(standing, phrases, opposites, segment, base, traits_of):
            if _words(text + marker) not in taken:
                traits_of[segment] = base
                taken.add(_words(text + marker))
                names[segment] = SegmentName(text + marker, tuple(standing.features[t.feature] for t in traits))
                break
    return tuple(names[segment] for segment in range(len(shares)))


def name_still_fits(text: str, standing: Standing, phrases: Mapping[str, Phrases], segment: int, share: float) -> bool:
    """Return whether a name made for a segment before is still true of it, and nothing new stands out much more.

    Each phrase must hold at a quarter of a standard deviation, half of what it takes to be chosen, and the strongest
    phrase that a new name would have must not lead by half a deviation. So a name does not change because a figure
    crosses a line. Names in other words than these phrases do not fit.

    >>> standing = Standing(("rfm__recency_days",), np.array([[0.4], [-0.1]]), np.eye(1))
    >>> [name_still_fits("Lapsed", standing, {"rfm__recency_days": Phrases("lapsed")}, n, 0.5) for n in (0, 1)]
    [True, False]
    """
    plain = text.removesuffix(SMALL)
    if (plain != text) != (share < SMALLEST_SHARE):
        return False
    new = _telling(standing, phrases, _opposites(phrases), segment)
    strongest = max((abs(float(standing.z[segment, trait.feature])) for trait in new), default=0.0)
    if plain == AVERAGE:
        return strongest < STRONG_AT + NOTICEABLE_AT
    strengths = [_strength(standing, phrases, segment, phrase) for phrase in _words(plain)]
    return min(strengths) >= NOTICEABLE_AT and strongest - max(strengths) < STRONG_AT


def telling_features(standing: Standing, segment: int, count: int, without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the features that set a segment apart most, no two of one view or going up and down together."""
    chosen: list[int] = []
    for feature in _by_strength(np.abs(standing.z[segment])):
        if abs(standing.z[segment, feature]) < NOTICEABLE_AT or len(chosen) == count:
            break
        new = not any(_says_the_same(standing, feature, other) for other in chosen)
        if new and standing.features[feature] not in without:
            chosen.append(feature)
    return tuple(standing.features[feature] for feature in chosen)


def _strength(standing: Standing, phrases: Mapping[str, Phrases], segment: int, phrase: str) -> float:
    """Return how many deviations a phrase holds by in a segment, by the feature that says so most; 0 if none does."""
    strongest = 0.0
    for feature, z in zip(standing.features, standing.z[segment].tolist(), strict=True):
        known = phrases.get(feature, Phrases())
        for said, towards in ((known.high, z), (known.low, -z)):
            if said and said.casefold() == phrase:
                strongest = max(strongest, towards)
    return strongest


def _telling(
    standing: Standing, phrases: Mapping[str, Phrases], opposites: Mapping[str, set[str]], segment: int
) -> list[_Trait]:
    chosen: list[_Trait] = []
    z = standing.z[segment]
    strong = [feature for feature in _by_strength(np.abs(z)) if abs(z[feature]) >= STRONG_AT]
    for foretold in (False, True):
        if foretold and chosen:
            break
        for feature in strong:
            trait = _trait(standing, phrases, feature, up=bool(z[feature] > 0))
            if trait is None or len(chosen) == _USUAL_PHRASES or _is_foretold(standing, phrases, feature) != foretold:
                continue
            if _adds(standing, opposites, trait, chosen, only_new=True):
                chosen.append(trait)
    return chosen


def _candidates(
    standing: Standing,
    phrases: Mapping[str, Phrases],
    opposites: Mapping[str, set[str]],
    segment: int,
    base: list[_Trait],
    named: Mapping[int, list[_Trait]],
) -> Iterator[tuple[list[_Trait], str]]:
    """Yield names for a segment, the best first: the plain one, then with one more phrase, then numbered."""
    plain = _text([trait.phrase for trait in base]) if base else AVERAGE
    yield base, plain
    rivals = [other for other, traits in named.items() if _same_traits(traits, base)]
    apart = standing.z[segment] - (standing.z[rivals].mean(axis=0) if rivals else 0.0)
    for only_new in (True, False):
        for feature in _by_strength(np.abs(apart)):
            z = float(standing.z[segment, feature])
            up = bool(apart[feature] > 0)
            trait = _trait(standing, phrases, feature, up=up) if abs(apart[feature]) >= _APART_FROM else None
            if trait is None or not _adds(standing, opposites, trait, base, only_new=only_new):
                continue
            holds = abs(z) >= NOTICEABLE_AT and (z > 0) == up
            if holds and base:
                yield [*base, trait], _text([*(t.phrase for t in base), trait.phrase])
            elif not only_new or not base:
                # True beside its rivals only, not beside all users.
                yield [*base, trait], f"{plain}, rather {trait.phrase}"
    number = 2
    while True:
        yield base, f"{plain} ({number})"
        number += 1


def _is_foretold(standing: Standing, phrases: Mapping[str, Phrases], feature: int) -> bool:
    return phrases.get(standing.features[feature], Phrases()).foretold


def _trait(standing: Standing, phrases: Mapping[str, Phrases], feature: int, *, up: bool) -> _Trait | None:
    known = phrases.get(standing.features[feature])
    phrase = None if known is None else known.high if up else known.low
    return _Trait(feature, phrase) if phrase else None


def _adds(
    standing: Standing, opposites: Mapping[str, set[str]], trait: _Trait, chosen: Sequence[_Trait], *, only_new: bool
) -> bool:
    """Say whether a phrase may stand beside the others, and with `only_new` whether it says something new."""
    for other in chosen:
        if trait.phrase.casefold() == other.phrase.casefold() or trait.feature == other.feature:
            return False
        if trait.phrase.casefold() in opposites.get(other.phrase.casefold(), ()):
            return False
        if only_new and _says_the_same(standing, trait.feature, other.feature):
            return False
    return True


def _says_the_same(standing: Standing, feature: int, other: int) -> bool:
    if standing.features[feature].split("__")[0] == standing.features[other].split("__")[0]:
        return True
    return bool(abs(standing.correlation[feature, other]) >= TOGETHER_AT)


def _opposites(phrases: Mapping[str, Phrases]) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for known in phrases.values():
        if known.high and known.low:
            high, low = known.high.casefold(), known.low.casefold()
            result.setdefault(high, set()).add(low)
            result.setdefault(low, set()).add(high)
    return result


def _by_strength(strength: FloatArray) -> list[int]:
    """Return positions by strength to one decimal, then by order, so that a little noise does not rename."""
    return sorted(range(strength.size), key=lambda i: (-round(float(strength[i]), 1), i))


def _words(text: str) -> frozenset[str]:
    """Return the phrases of a name: "Quick, new" and "New, quick" are the same name to a reader."""
    return frozenset(part.strip() for part in text.casefold().split(","))


def _same_traits(one: Sequence[_Trait], other: Sequence[_Trait]) -> bool:
    return {trait.phrase for trait in one} == {trait.phrase for trait in other}


def _text(parts: Sequence[str]) -> str:
    joined = ", ".join(parts)
    return joined[:1].upper() + joined[1:]
