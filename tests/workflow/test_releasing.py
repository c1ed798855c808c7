"""Releases with noise: what they tell, what they cost, and that the budget holds."""

import json
import multiprocessing
from pathlib import Path

import pytest
from shops import CLUSTERS, RULES, bought, call_sqlseg, new_shop

pytest.importorskip("opendp", reason="needs the extra sqlseg[privacy]")

from sqlseg.publish import noise

PRIVACY = "[privacy]\nepsilon_budget = 3.0\nrevenue_bounds = [0, 400]\n"
EVENTS = [bought(f"u{n:03}", f"2024-03-{1 + n % 9:02} 10:00", 5.0 * (n + 1)) for n in range(120)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("noise") / "shop", EVENTS, RULES + CLUSTERS + PRIVACY)
    shop.refresh()
    return shop


@pytest.fixture
def shop(made, tmp_path):
    return made.copy(tmp_path / "shop")


def released(shop, epsilon, *more):
    return shop.sqlseg("privacy", "release", "--epsilon", str(epsilon), *more)


def test_a_release_is_published_with_how_far_it_can_be_off(shop):
    ran = released(shop, 2, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["epsilon"], told["spent"], told["budget"]) == (2.0, 2.0, 3.0)
    rows = shop.published(
        "select segment_id, p.user_count, user_count_low, user_count_high, p.revenue, revenue_low, revenue_high, "
        "mean_revenue, mean_revenue_low, mean_revenue_high, s.user_count, epsilon, revenue_from, revenue_to "
        "from segments.private_segment as p join segments.segment as s using (segment_id) order by 1"
    )
    assert len(rows) == len(told["rows"]) == 4
    clipped = dict(
        shop.rows(
            "select segment_id, sum(least(r.revenue, 400)) from segments.membership "
            "join sqlseg.user_revenue as r "
            "using (user_id) group by 1"
        )
    )
    for segment, users, low, high, revenue, from_, to, mean, mean_low, mean_high, true, *declared in rows:
        assert declared == [2.0, 0.0, 400.0]
        assert low < users < high
        assert from_ < revenue < to
        # A hundred times the scale of the noise is out of its reach: chances are below 1e-40.
        assert abs(users - true) < 100 * 2
        assert abs(revenue - clipped[segment]) < 100 * 400 * 2
        assert mean is None or mean == pytest.approx(revenue / users)
        assert mean_low is None or mean_low <= mean <= mean_high
    assert ("epsilon_budget", "3") in shop.published("select measure, value from segments.privacy")


def test_without_noise_the_figures_would_be_the_true_ones(shop, monkeypatch):
    def exact(values, sensitivity, epsilon):
        return noise.NoisyIntegers(tuple(values), epsilon, sensitivity / epsilon)

    monkeypatch.setattr("sqlseg.workflow.releasing.noisy_integers", exact)
    assert released(shop, 1, "--segmentation", "tier").code == 0
    assert shop.published("select segment_id, user_count from segments.private_segment order by 1") == shop.published(
        "select segment_id, user_count from segments.segment where segmentation = 'tier' order by 1"
    )
    assert shop.published("select round(sum(revenue), 2) from segments.private_segment") == [
        (sum(min(5.0 * (n + 1), 400) for n in range(120)),)
    ]


def test_the_budget_is_kept_also_by_another_warehouse_and_after_a_loss(shop):
    assert released(shop, 2).code == 0
    ran = released(shop, 1.5)
    assert ran.code == 1
    assert "1 is left of the budget of 3" in ran.err.replace("\n", " ")
    assert len(shop.published("select distinct release_id from segments.private_segment")) == 1
    shop.warehouse_file.unlink()
    shop.published_file.unlink()
    shop.refresh()
    assert released(shop, 1.5).code == 1
    assert released(shop, 1).code == 0
    assert released(shop, 0.001).code == 1
    ran = shop.sqlseg("privacy", "ledger", "--json")
    told = json.loads(ran.out)
    assert (told["budget"], told["spent"]) == (3.0, 3.0)
    assert [one["epsilon"] for one in told["releases"]] == [2.0, 1.0]
    assert shop.sqlseg("privacy", "ledger").code == 0


def _release(directory: str) -> int:
    return call_sqlseg("privacy", "release", "--epsilon", "1.5", "--project", directory, "--wait", "300").code


def test_several_processes_share_one_budget(shop):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        codes = pool.map(_release, [str(shop.directory)] * 3)
    assert sorted(codes) == [0, 0, 1]
    told = json.loads(shop.sqlseg("privacy", "ledger", "--json").out)
    assert told["spent"] == 3.0


def test_a_release_that_breaks_off_has_spent_what_it_asked_for(shop, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr("sqlseg.workflow.releasing._drawn", lambda *a: 1 / 0)
        released(shop, 2)
    assert json.loads(shop.sqlseg("privacy", "ledger", "--json").out)["spent"] == 2.0
    assert released(shop, 1.5).code == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace('"epsilon": 1.0', '"epsilon": 0.1'), "is not what a release wrote there"),
        (lambda text: text.split("\n", 1)[1], "is not what a release wrote there"),
        (lambda text: text.split("\n")[0] + "\n", "lacks 1 releases"),
        (lambda text: "", "lacks 2 releases"),
        (lambda text: "not json\n", "is not what a release wrote there"),
    ],
)
def test_a_ledger_that_was_changed_is_refused(shop, change, told):
    assert released(shop, 1).code == 0
    assert released(shop, 1).code == 0
    ledger = shop.directory / "privacy_ledger.jsonl"
    ledger.write_text(change(ledger.read_text(encoding="utf-8")), encoding="utf-8")
    ran = released(shop, 0.5)
    assert ran.code == 1
    assert told in ran.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (["--epsilon", "0"], PRIVACY, "must be above 0"),
        (["--epsilon", "nan"], PRIVACY, "must be above 0"),
        (["--epsilon", "21"], PRIVACY, "at most 20"),
        (["--epsilon", "1", "--segmentation", "teir"], PRIVACY, "No segmentation named 'teir'"),
        (["--epsilon", "1"], "", "epsilon_budget is needed"),
        (["--epsilon", "1"], "[privacy]\nepsilon_budget = 3.0\n", "revenue_bounds is needed"),
        (["--epsilon", "1"], "[privacy]\nepsilon_budget = 0.0\n", "greater than 0"),
        (["--epsilon", "1"], "[privacy]\nepsilon_budget = 1.0\nrevenue_bounds = [400, 0]\n", "the lower first"),
        (["--epsilon", "1"], "[privacy]\nepsilon_budget = 1.0\nrevenue_bounds = [0, 0.001]\n", "two decimals"),
    ],
)
def test_what_makes_no_sense_is_refused_and_costs_nothing(shop, arguments, settings, told):
    shop.settings(RULES + CLUSTERS + settings)
    ran = shop.sqlseg("privacy", "release", *arguments)
    assert ran.code == 1
    assert told in ran.err.replace("\n", " ")
    assert not (shop.directory / "privacy_ledger.jsonl").exists()


def test_without_opendp_nothing_is_charged(shop, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opendp.measurements", None)
    ran = released(shop, 1)
    assert ran.code == 1
    assert "pip install 'sqlseg[privacy]'" in ran.err.replace("\n", " ")
    assert not Path(shop.directory / "privacy_ledger.jsonl").exists()


def test_a_project_without_a_budget_publishes_no_such_table(shop):
    assert shop.published("select count(*) from segments.private_segment") == [(0,)]
    shop.settings(RULES + CLUSTERS)
    shop.refresh()
    assert shop.published("select count(*) from duckdb_tables() where table_name = 'private_segment'") == [(0,)]
