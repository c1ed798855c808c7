"""`sqlseg backtest`: nothing from later leaks in, nothing is touched, and the figures are what others compute."""

import csv
import hashlib
import io
import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from scipy.stats import f_oneway
from shops import RULES, bought, new_shop
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from sqlseg.workflow.backtest import BacktestOptions, HistoryTooShort, replay_dates

CLUSTERS = '[segmentations.groups]\nkind = "cluster"\ninputs = ["rfm@1"]\nk = 3\n'
DAYS = [datetime(2024, 3, 1), datetime(2024, 3, 31)]
ASKED = ["--from", "2024-03-01", "--to", "2024-04-15", "--every", "30d", "--horizon", "30d"]
KNOWN_BY_THEN = ("as_of", "division", "action", "because", "users", "groups", "moved", "ari", "refit_ari")


def history():
    """Forty users from January to May: the even ones buy ever more rarely, the higher the dearer."""
    random = np.random.default_rng(3)
    events = []
    for n in range(40):
        day, gap = datetime(2024, 1, 1) + timedelta(days=int(random.integers(0, 40))), 5.0 + n % 7
        while day < datetime(2024, 5, 21):
            events.append(bought(f"u{n:02}", day.isoformat(), round(float(2 + n * random.random()), 2)))
            gap *= 1.5 if n % 2 == 0 else 1.0
            day += timedelta(days=float(gap * (0.5 + random.random())))
    return events


EVENTS = history()


def future(after):
    """What would turn every figure over: strangers and whales, on every day from a moment on."""
    return [
        bought(f"{kind}{n:02}", (after + timedelta(days=d, seconds=n)).isoformat(), 1e6 * (n + 1))
        for kind in ("u", "x")
        for n in range(40)
        for d in range(5)
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return new_shop(tmp_path_factory.mktemp("backtest") / "shop", EVENTS, RULES + CLUSTERS)


def run(shop, *more):
    ran = shop.sqlseg("backtest", *ASKED, *more, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


@pytest.fixture(scope="module")
def found(shop):
    return run(shop)


def test_what_is_reported(found):
    assert [day[:10] for day in found["dates"]] == ["2024-03-01", "2024-03-31"]
    assert [row["division"] for row in found["rows"]] == 2 * ["tier", "groups", "rfm_score", "rfm_cells"]
    first, second = found["rows"][1], found["rows"][5]
    # The window before the first day is there to rank the groups, not to be compared with.
    assert (first["moved"], first["ari"]) == (None, None) and first["repurchase_auc"] is not None
    assert 0 < second["moved"] < 1 and second["ari"] < 1
    assert first["action"] == "fit" and "have shifted since the fit" in first["because"]
    assert [row["refit_ari"] is None for row in found["rows"]] == 2 * [True, False, True, True]
    assert found["causes"] and {one["cause"] for one in found["causes"]} <= {"behavior", "model"}
    assert [mean["dates"] for mean in found["means"]] == [2] * 4


def test_events_after_the_horizon_change_no_figure(shop, found, tmp_path):
    later = shop.copy(tmp_path / "later")
    later.events(*EVENTS, *future(datetime(2024, 4, 30)))
    assert run(later)["rows"] == found["rows"]


def test_events_after_a_day_change_nothing_that_was_known_by_then(shop, found, tmp_path):
    later = shop.copy(tmp_path / "later")
    later.events(*EVENTS, *future(datetime(2024, 3, 31)))
    other = run(later)
    for before, after in zip(found["rows"], other["rows"], strict=True):
        assert {key: before[key] for key in KNOWN_BY_THEN} == {key: after[key] for key in KNOWN_BY_THEN}
    # The future itself is another one.
    assert found["rows"][4]["revenue_eta2"] != other["rows"][4]["revenue_eta2"]
    assert [row for row in found["rows"] if row["as_of"][:10] == "2024-03-01"] == [
        row for row in other["rows"] if row["as_of"][:10] == "2024-03-01"
    ]


def test_the_figures_of_a_rule_by_hand(found):
    """The tiers are known from the events alone: spend up to the day, in halves at 100."""

    def users_of(day):
        spend, future_revenue = {}, {}
        for one in EVENTS:
            moment = datetime.fromisoformat(str(one["event_time"]))
            if moment < day:
                spend[one["user_id"]] = spend.get(one["user_id"], 0) + one["price"]
            elif moment < day + timedelta(days=30):
                future_revenue[one["user_id"]] = future_revenue.get(one["user_id"], 0) + one["price"]
        users = sorted(spend)
        return (
            users,
            np.array([spend[user] >= 100 for user in users]).astype(int),
            np.array([future_revenue.get(user, 0.0) for user in users]),
        )

    # The window that closes on the first day began 30 days before it.
    _, tiers, revenue = users_of(datetime(2024, 1, 31))
    closed = [(tiers, revenue > 0)]
    before = None
    for day, row in zip(DAYS, (row for row in found["rows"] if row["division"] == "tier"), strict=True):
        users, tiers, revenue = users_of(day)
        assert row["users"] == len(users) and row["groups"] == 2
        f = f_oneway(revenue[tiers == 0], revenue[tiers == 1]).statistic
        n = len(users)
        assert row["revenue_eta2"] == pytest.approx(f / (f + n - 2))
        known, did = (np.concatenate(parts) for parts in zip(*closed, strict=True))
        rate = {tier: did[known == tier].mean() for tier in set(known)}
        scores = [rate.get(tier, did.mean()) for tier in tiers]
        assert row["repurchase_auc"] == pytest.approx(roc_auc_score(revenue > 0, scores))
        closed.append((tiers, revenue > 0))
        if before is not None:
            then = dict(zip(*before, strict=True))
            both = [number for number, user in enumerate(users) if user in then]
            earlier = np.array([then[users[number]] for number in both])
            assert row["moved"] == pytest.approx(np.mean(earlier != tiers[both]))
            assert row["ari"] == pytest.approx(adjusted_rand_score(earlier, tiers[both]))
        before = (users, tiers)


def test_the_warehouse_and_the_published_file_stay_as_they_are(shop, tmp_path):
    used = shop.copy(tmp_path / "used")
    used.refresh()
    # The events may lie in the warehouse itself.
    used.change("create table orders as select * from read_parquet('" + str(used.directory / "data/*.parquet") + "')")
    used.write("sql/events.sql", "select * from orders")
    files = [used.warehouse_file, used.published_file]

    def state():
        return [(hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns) for file in files]

    before, there = state(), sorted(used.directory.rglob("*"))
    found = run(used, "--segmentation", "tier")
    assert {row["division"] for row in found["rows"]} == {"tier", "rfm_score", "rfm_cells"}
    assert (state(), sorted(used.directory.rglob("*"))) == (before, there)


def test_without_a_warehouse_none_is_made(shop, found):
    assert not shop.warehouse_file.exists()


def test_what_people_read(shop, found):
    ran = shop.sqlseg("backtest", *ASKED, "--segmentation", "tier", "--markdown")
    assert ran.code == 0
    assert "What divisions of users were worth in the 30 days after (means over 2 days, 30 days apart)" in ran.out
    assert "| rfm_cells |" in ran.out
    ran = shop.sqlseg("backtest", *ASKED, "--segmentation", "tier", "--csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    expected = [row for row in found["rows"] if row["division"] != "groups"]
    assert [float(row["revenue_eta2"]) for row in rows] == [row["revenue_eta2"] for row in expected]
    assert "Day by day" in shop.sqlseg("backtest", *ASKED, "--segmentation", "tier").out


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        (["--horizon", "400d"], 1, "Take a shorter --horizon"),
        (["--to", "2024-04-25", "--horizon", "30d"], 1, "leaves no 30 days to look ahead"),
        (["--from", "2023-12-01", "--horizon", "30d"], 1, "is not after the first event"),
        (["--from", "2024-03-20", "--to", "2024-03-10", "--horizon", "30d"], 1, "is later than --to"),
        (["--from", "soon"], 1, "is no date"),
        (["--segmentation", "tiers"], 1, "Choose one of: tier, groups"),
        (["--every", "monthly"], 2, "--every must be a number of days"),
        (["--horizon", "0d"], 2, "--horizon must be a number of days"),
        (["--json", "--csv"], 2, "choose one of"),
    ],
)
def test_what_cannot_be_replayed(shop, arguments, code, fragment):
    ran = shop.sqlseg("backtest", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert fragment in " ".join(ran.err.replace("│", " ").split())


def test_a_project_without_segmentations(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS, "")
    ran = shop.sqlseg("backtest")
    assert ran.code == 1 and "no [segmentations.<name>] to replay" in ran.err


def test_days_are_midnights_of_the_shop():
    # Clocks in Berlin go forward on 31 March 2024.
    options = BacktestOptions(first="2024-03-16", last="2024-04-15")
    found = replay_dates(datetime(2024, 1, 1), datetime(2024, 8, 1), "Europe/Berlin", options)
    assert found == [datetime(2024, 3, 15, 23), datetime(2024, 4, 14, 22)]


def test_days_that_nobody_names():
    found = replay_dates(datetime(2024, 1, 1, 9), datetime(2024, 12, 31, 9), "UTC", BacktestOptions())
    assert (found[0], found[-1]) == (datetime(2024, 5, 18), datetime(2024, 9, 15))
    assert found[-1] + timedelta(days=90) <= datetime(2025, 1, 1)
    with pytest.raises(HistoryTooShort):
        replay_dates(datetime(2024, 1, 1), datetime(2024, 2, 1), "UTC", BacktestOptions())
