"""`sqlseg backtest` of segments learned from labels: a past day knows the labels given before it, and no later ones."""

from datetime import datetime

import pytest
from shops import RULES, new_shop
from test_backtest import ASKED, EVENTS, KNOWN_BY_THEN, future, run

from sqlseg.segments import boosting

LEARNED = """
[segmentations.pace]
kind = "supervised"
inputs = ["rfm@1", "cadence@1"]
labels = "sql/labels/pace.sql"
"""
TWICE = [{**one, "user_id": f"{kind}{one['user_id'][1:]}"} for one in EVENTS for kind in "uv"]
TIMED = "select user_id, label as segment_name, labelled_at from users where label is not null"
EARLY, BETWEEN, LATE = "2024-02-20", "2024-03-15", "2024-04-01"


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(boosting, "ROUNDS", 5)


def label(shop, *, others_at, others_wrong=False):
    """Rare buyers have even numbers; u00 to u39 are labelled early, v00 to v39 at a time, wrongly or not."""
    rows = ["user_id,label,labelled_at"]
    for n in range(40):
        names = ("Rare", "Often")
        rows.append(f"u{n:02},{names[n % 2]},{EARLY}")
        if others_at:
            rows.append(f"v{n:02},{names[(n + others_wrong) % 2]},{others_at}")
    shop.write("data/labels.csv", "\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("labelled") / "shop", TWICE, RULES + LEARNED)
    shop.write("sql/users.sql", "select * from read_csv('data/labels.csv', header = true)")
    shop.write("sql/labels/pace.sql", TIMED)
    label(shop, others_at=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "ROUNDS", 5)
        return shop, run(shop)


def of_pace(found):
    return [row for row in found["rows"] if row["division"] == "pace"]


def test_learned_segments_are_measured_like_others(labelled):
    _, found = labelled
    rows = of_pace(found)
    assert [row["as_of"][:10] for row in rows] == ["2024-03-01", "2024-03-31"]
    assert [row["groups"] for row in rows] == [2, 2] and rows[0]["action"] == "fit"
    # Nobody had a label thirty days before the first day, so there is no window to rank the groups by.
    assert rows[0]["repurchase_auc"] is None and rows[1]["repurchase_auc"] > 0.5
    assert all(row["revenue_eta2"] is not None for row in rows)
    assert found["notes"] == ["pace: each day knows the labels with a labelled_at before it, and no others."]


def test_labels_given_later_change_nothing(labelled, tmp_path):
    shop, found = labelled
    later = shop.copy(tmp_path / "later")
    label(later, others_at=LATE, others_wrong=True)
    assert run(later)["rows"] == found["rows"]


def test_a_day_knows_the_labels_given_before_it(labelled, tmp_path):
    shop, found = labelled
    other = shop.copy(tmp_path / "other")
    label(other, others_at=BETWEEN, others_wrong=True)
    before, after = of_pace(found), of_pace(run(other))
    assert after[0] == before[0]
    assert after[1]["action"] == "fit" and "the labels have changed" in after[1]["because"]
    assert after[1]["ari"] != before[1]["ari"]


def test_events_of_later_change_nothing_that_was_known_by_then(labelled, tmp_path):
    shop, found = labelled
    later = shop.copy(tmp_path / "later")
    later.events(*TWICE, *future(datetime(2024, 3, 31)))
    for before, after in zip(of_pace(found), of_pace(run(later)), strict=True):
        assert {key: before[key] for key in KNOWN_BY_THEN} == {key: after[key] for key in KNOWN_BY_THEN}


def test_labels_without_a_time_are_left_out_and_that_is_told(labelled, tmp_path):
    shop = labelled[0].copy(tmp_path / "shop")
    shop.write("sql/labels/pace.sql", "select user_id, label as segment_name from users")
    ran = shop.sqlseg("backtest", *ASKED)
    assert ran.code == 0 and "pace is left out: pace.sql returns no labelled_at" in " ".join(ran.out.split())
    ran = shop.sqlseg("backtest", *ASKED, "--segmentation", "pace")
    assert ran.code == 1 and "those of today" in ran.err and "labelled_at" in ran.err


def test_labels_of_features_are_those_of_the_day(labelled, tmp_path):
    shop = labelled[0].copy(tmp_path / "shop")
    often = "case when spend > 60 then 'Often' else 'Rare' end as segment_name"
    shop.write("sql/labels/pace.sql", f"select user_id, {often} from features.rfm")
    found = run(shop, "--segmentation", "pace")
    assert found["notes"] == ["pace: its labels are worked out from the features of each day."]
    assert len(of_pace(found)) == 2


def test_too_few_labels_by_then_is_told_with_the_day(labelled, tmp_path):
    shop = labelled[0].copy(tmp_path / "shop")
    rows = "".join(f"u{n:02},{('Rare', 'Often')[n % 2]},{LATE}\n" for n in range(40))
    shop.write("data/labels.csv", f"user_id,label,labelled_at\n{rows}")
    ran = shop.sqlseg("backtest", *ASKED)
    assert ran.code == 1 and "As of 2024-03-01, too few labels were known" in ran.err and "--from" in ran.err
