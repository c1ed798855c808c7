"""`plan` changes nothing, and says exactly what `refresh` then does."""

import pytest
from shops import CLUSTERS, RULES, TIERS, bought, new_shop, viewed

from sqlseg.workflow.plan import Plan

EVENTS = [
    bought("ann", "2024-03-01 10:00", 150),
    bought("bob", "2024-03-01 12:00", 50),
    bought("dan", "2024-03-02 12:00", 1000),
    viewed("eve", "2024-03-03 09:00"),
]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("plan") / "shop", EVENTS, RULES + CLUSTERS)
    shop.refresh()
    return shop


def files(shop):
    """Every file of the project with its time and bytes."""
    return {
        path.relative_to(shop.directory): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(shop.directory.rglob("*"))
        if path.is_file()
    }


def told(plan: Plan):
    """What a plan says, without the time and the run it was made in."""
    return (
        plan.kind,
        plan.as_of,
        plan.data_through,
        plan.changes,
        plan.source_fingerprint,
        plan.news,
        plan.segmentations,
        plan.renewed_statistics,
    )


def grow(shop):
    shop.events(*EVENTS, bought("bob", "2024-03-04 12:00", 60), viewed("fay", "2024-03-05 12:00"))
    return {}


def change_rule(shop):
    shop.write("sql/segments/tier.sql", TIERS.replace(">= 100", ">= 500"))
    return {}


def change_clusters(shop):
    shop.settings(RULES + CLUSTERS.replace("k = 2", "k = 3"))
    return {}


def nothing(shop):
    return {}


def later(shop):
    return {"as_of": "2024-04-01"}


def refit(shop):
    grow(shop)
    return {"refit": "always"}


def late(shop):
    shop.events(*EVENTS, bought("bob", "2024-03-01 13:00", 90))
    return {"segmentation": "tier"}


KINDS = {grow: "warm", change_rule: "warm", change_clusters: "refit", nothing: "noop", later: "warm", refit: "refit"}


@pytest.mark.parametrize("change", [grow, change_rule, change_clusters, nothing, later, refit, late])
def test_a_plan_changes_nothing_and_the_refresh_does_what_it_said(refreshed, tmp_path, change):
    shop = refreshed.copy(tmp_path / "shop")
    options = change(shop)
    before = files(shop)
    planned = shop.plan(**options)
    assert files(shop) == before
    done = shop.refresh(**options)
    assert told(planned.plan) == told(done.plan)
    assert planned.plan.kind == KINDS.get(change, "warm")
    assert (planned.moves, planned.users_total, planned.users_moved, planned.users_embedded) == (
        done.moves,
        done.users_total,
        done.users_moved,
        done.users_embedded,
    )
    assert planned.published is None


def test_a_plan_before_the_first_refresh_makes_no_file(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS, RULES + CLUSTERS)
    before = files(shop)
    planned = shop.plan()
    assert files(shop) == before
    assert planned.plan.kind == "cold"
    assert planned.plan.news == ("This is the first refresh.",)
    assert shop.refresh().moves == planned.moves


def test_a_plan_says_in_words_what_is_new(refreshed, tmp_path):
    shop = refreshed.copy(tmp_path / "shop")
    shop.events(*EVENTS[:-1], bought("bob", "2024-03-01 13:00", 90), viewed("fay", "2024-03-05 12:00"))
    shop.settings(RULES + CLUSTERS.replace("k = 2", "k = 3"))
    planned = shop.plan()
    assert planned.plan.news == (
        "Sources: 2 new events, 1 events gone, 1 of the new ones late.",
        "as_of moves from 2024-03-04 00:00:00 to 2024-03-06 00:00:00 (UTC).",
        "Definitions: groups: k is 3, was 2.",
    )
    assert {one.name: (one.action, one.reasons) for one in planned.plan.segmentations} == {
        "groups": ("fit", ("k is 3, was 2",)),
        "tier": ("rules", ()),
    }
