import numpy as np

from sqlseg.insight.description import segment_description
from sqlseg.insight.naming import SegmentName
from sqlseg.insight.profile import FeatureProfile, Standing


def described(figures, *, z=None, share=0.12, revenue_share=0.31, named=(), titles=None):
    """`figures` maps a feature to its mean in the segment and overall."""
    rows = [
        FeatureProfile(0, feature, 10, mean, mean, mean, mean, overall, None, None, 1)
        for feature, (mean, overall) in figures.items()
    ]
    strength = [np.sign(mean - overall) for mean, overall in figures.values()] if z is None else z
    standing = Standing(tuple(figures), np.array([strength], dtype=float), np.eye(len(figures)))
    name = SegmentName("x", tuple(named))
    return segment_description(0, name, rows, standing, share=share, revenue_share=revenue_share, titles=titles)


def test_a_marketer_can_read_it():
    figures = {"rfm__orders": (7.1, 3.1), "cadence__gap_days": (12.0, 31.4), "basket__value": (52.5, 45.0)}
    assert described(figures) == (
        "Orders 2.3x the average (7.1 against 3.1), gap days 62% below the average (12 against 31.4), "
        "value 17% above the average (52.5 against 45); 12% of users, 31% of revenue."
    )


def test_titles_and_the_features_of_the_name_come_first():
    figures = {"rfm__orders": (7.1, 3.1), "basket__value": (90.0, 45.0)}
    text = described(figures, named=["basket__value"], titles={"basket__value": "value of a basket"})
    assert text.startswith("Value of a basket 2x the average (90 against 45), orders 2.3x")


def test_a_mean_that_extreme_users_turned_around_is_left_out():
    text = described({"rfm__spend": (900.0, 100.0), "rfm__orders": (1.0, 2.0)}, z=[-0.9, -0.8])
    assert text == "Orders 50% below the average (1 against 2); 12% of users, 31% of revenue."


def test_nothing_stands_out():
    text = described({"rfm__orders": (3.1, 3.1)}, share=0.004, revenue_share=0.0004)
    assert text == "Close to the average in everything measured; 0.4% of users, under 0.1% of revenue."
    assert described({"rfm__orders": (3.1, 3.1)}, revenue_share=None).endswith("measured; 12% of users.")


def test_averages_of_nothing_or_less_have_no_ratio():
    assert described({"rfm__balance": (2.0, -1.0)}).startswith("Balance 2 against -1 on average;")
    assert described({"rfm__returns": (0.0, 0.2)}).startswith("Returns 100% below the average (0 against 0.2);")
