import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sqlseg.insight.naming import AVERAGE, Phrases, name_still_fits, segment_names, telling_features
from sqlseg.insight.profile import Standing

PHRASES = {
    "rfm__recency_days": Phrases("lapsed", "recently active"),
    "rfm__orders": Phrases("frequent", "one-time"),
    "cadence__days_since_last": Phrases("long gone", "lately here"),
    "basket__value": Phrases("big basket", "small basket"),
    "discount__share": Phrases("discount-driven", None),
    "hours__evening_share": Phrases("evening shopping", "daytime shopping"),
}
FEATURES = (*PHRASES, "plain__number", "encoder:behavior@1")


def standing(*rows, together=()):
    correlation = np.eye(len(FEATURES))
    for a, b in together:
        i, j = FEATURES.index(a), FEATURES.index(b)
        correlation[i, j] = correlation[j, i] = -0.9
    z = np.array([[row.get(feature, 0.0) for feature in FEATURES] for row in rows])
    return Standing(FEATURES, z, correlation)


def names(*rows, shares=None, keep=None, together=()):
    shares = [1 / len(rows)] * len(rows) if shares is None else shares
    return [name.text for name in segment_names(standing(*rows, together=together), PHRASES, shares, keep)]


def test_a_name_is_the_two_strongest_phrases():
    row = {"rfm__recency_days": 1.4, "basket__value": 0.9, "discount__share": 0.7}
    assert names(row) == ["Lapsed, big basket"]
    found = segment_names(standing(row), PHRASES, [1.0])[0]
    assert found.features == ("rfm__recency_days", "basket__value")


def test_weak_and_wordless_features_are_not_spoken_of():
    assert names({"rfm__orders": 0.49, "plain__number": 3.0, "encoder:behavior@1": 5.0}) == [AVERAGE]
    assert names({"discount__share": -2.0, "rfm__orders": -0.6}) == ["One-time"]


def test_one_phrase_speaks_for_its_view_and_for_what_goes_together():
    assert names({"rfm__recency_days": 1.4, "rfm__orders": -1.2, "basket__value": 0.6}) == ["Lapsed, big basket"]
    row = {"rfm__recency_days": 1.4, "cadence__days_since_last": 1.3, "basket__value": 0.6}
    assert names(row, together=[("rfm__recency_days", "cadence__days_since_last")]) == ["Lapsed, big basket"]


def test_phrases_that_contradict_never_stand_together():
    phrases = {"rfm__recency_days": Phrases("lapsed", "recently active"), "visits__gap": Phrases("Recently active")}
    features = ("rfm__recency_days", "visits__gap")
    found = segment_names(Standing(features, np.array([[1.0, 0.9]]), np.eye(2)), phrases, [1.0])
    assert found[0].text == "Lapsed"


def test_what_is_foretold_is_spoken_of_only_where_nothing_that_they_did_stands_out():
    phrases = {
        "forecast__p_order": Phrases("likely to order", "unlikely to order", foretold=True),
        "rfm__orders": Phrases("frequent", "infrequent"),
    }
    found = Standing(tuple(phrases), np.array([[1.5, 0.6], [0.9, 0.49], [-0.4, 0.3]]), np.eye(2))
    named = [name.text for name in segment_names(found, phrases, [0.4, 0.3, 0.3])]
    assert named == ["Frequent", "Likely to order", AVERAGE]


def test_a_third_phrase_tells_two_segments_apart():
    base = {"rfm__recency_days": 1.4, "basket__value": 0.9}
    found = names(base, {**base, "discount__share": 0.8}, shares=[0.6, 0.4])
    assert found == ["Lapsed, big basket", "Lapsed, big basket, discount-driven"]


def test_a_phrase_that_holds_beside_its_rival_only_says_rather():
    assert names({}, {"rfm__orders": 0.2}, shares=[0.6, 0.4]) == [AVERAGE, f"{AVERAGE}, rather frequent"]


def test_segments_that_nothing_tells_apart_are_numbered():
    assert names({}, {}, {}, shares=[0.5, 0.3, 0.2]) == [AVERAGE, f"{AVERAGE} (2)", f"{AVERAGE} (3)"]


def test_a_small_segment_is_marked():
    row = {"rfm__recency_days": 1.4}
    assert names(row, row, shares=[0.995, 0.005]) == ["Lapsed", "Lapsed (small group)"]


def test_names_that_people_gave_stay_and_are_not_given_twice():
    row = {"rfm__recency_days": 1.4}
    assert names(row, {}, keep={1: "Lapsed"})[1] == "Lapsed"
    assert names(row, {}, keep={1: "Lapsed"})[0] != "Lapsed"


def test_a_little_noise_renames_nobody():
    row = {"rfm__recency_days": 1.41, "basket__value": 1.40}
    assert names(row) == names({"rfm__recency_days": 1.39, "basket__value": 1.42}) == ["Lapsed, big basket"]


@given(arrays(float, st.tuples(st.integers(1, 12), st.just(len(FEATURES))), elements=st.floats(-3, 3, width=16)))
def test_names_are_all_different_short_and_free_of_contradiction(z):
    shares = np.full(len(z), 1 / len(z))
    found = segment_names(Standing(FEATURES, z, np.eye(len(FEATURES))), PHRASES, shares)
    texts = [name.text.casefold() for name in found]
    assert len(set(texts)) == len(z)
    for text in texts:
        assert text.count(",") <= 2 and "encoder" not in text
        for known in PHRASES.values():
            assert not (known.high and known.low and known.high in text and known.low in text)
    again = segment_names(Standing(FEATURES, z, np.eye(len(FEATURES))), PHRASES, shares)
    assert again == found


def fits(text, row, share=0.5):
    return name_still_fits(text, standing(row), PHRASES, 0, share)


def test_a_name_fits_as_long_as_it_is_true():
    assert fits("Lapsed, big basket", {"rfm__recency_days": 0.3, "basket__value": 0.3})
    assert not fits("Lapsed, big basket", {"rfm__recency_days": 0.9, "basket__value": 0.2})
    assert not fits("Lapsed", {"rfm__recency_days": -0.9})
    assert fits("Recently active", {"rfm__recency_days": -0.9})


def test_a_true_name_no_longer_fits_where_something_else_stands_out():
    assert fits("Lapsed", {"rfm__recency_days": 0.6, "basket__value": 1.0})
    assert not fits("Lapsed", {"rfm__recency_days": 0.6, "basket__value": 1.2})
    assert fits("Lapsed", {"rfm__recency_days": 0.6, "plain__number": 3.0})


def test_an_average_segment_stays_one_until_something_clearly_stands_out():
    assert fits(AVERAGE, {"basket__value": 0.7})
    assert not fits(AVERAGE, {"basket__value": 0.8})


def test_the_mark_of_a_small_group_comes_and_goes_with_its_size():
    row = {"rfm__recency_days": 1.0}
    assert fits("Lapsed (small group)", row, 0.005) and not fits("Lapsed (small group)", row, 0.5)
    assert fits("Lapsed", row, 0.5) and not fits("Lapsed", row, 0.005)


@pytest.mark.parametrize("text", ["Our regulars", "Lapsed (2)", "Lapsed, rather frequent", ""])
def test_names_in_other_words_do_not_fit(text):
    assert not fits(text, {"rfm__recency_days": 1.0, "rfm__orders": 1.0})


@given(
    arrays(float, st.tuples(st.integers(1, 8), st.just(len(FEATURES))), elements=st.floats(-3, 3, width=16)),
    st.integers(0, 2**32),
)
def test_names_that_no_rival_had_a_part_in_fit_the_segments_they_were_made_for_and_such_as_are_near(z, seed):
    shares = np.full(len(z), 1 / len(z))
    near = z + np.random.default_rng(seed).uniform(-0.1, 0.1, z.shape)
    for number in range(len(z)):
        (found,) = segment_names(Standing(FEATURES, z[[number]], np.eye(len(FEATURES))), PHRASES, shares[[number]])
        for now in (z, near):
            assert name_still_fits(found.text, Standing(FEATURES, now, np.eye(len(FEATURES))), PHRASES, number, 0.5)


def test_telling_features_need_no_phrase():
    row = {
        "plain__number": 1.0,
        "rfm__orders": 0.8,
        "rfm__recency_days": 0.7,
        "basket__value": 0.3,
        "discount__share": 0.1,
    }
    assert telling_features(standing(row), 0, 3) == ("plain__number", "rfm__orders", "basket__value")


@pytest.mark.parametrize("count", [0, 1])
def test_no_features_at_all(count):
    empty = Standing((), np.zeros((count, 0)), np.zeros((0, 0)))
    assert [name.text for name in segment_names(empty, {}, [1.0] * count)] == [AVERAGE] * count
