"""A damaged or lost warehouse is told, and made anew from the sources with the history of the published file."""

import random
import re

import duckdb
import pytest
from shops import CLUSTERS, RULES, bought

HISTORY = (
    "segments.membership_history",
    "segments.transition",
    "segments.lineage",
    "segments.model",
    "segments.rule",
    "segments.input",
    "segments.pin",
    "quality.erasure",
)
"""What a rebuilding adds nothing to, as long as the sources are what they were."""

PRESENT = {
    "segments.segment": "segment_id, segmentation, segment_name, description, rule_sql, user_count, share, revenue",
    "segments.membership": "user_id, segmentation, segment_id, segment_name, member_since, as_of, model_version",
    "segments.daily": "date, segmentation, segment_id, user_count, orders",
    "segments.segmentation": "segmentation, model_version, user_count, fitted_at",
    "features.rfm": "user_id, recency_days, orders",
}

NEW = bought("new", "2024-03-21 10:00", 900.0)
EVENTS = [bought(f"u{i:02}", f"2024-03-{1 + i % 20:02} 10:00", 10.0 * i) for i in range(30)]


@pytest.fixture
def shop(make_shop):
    """Refreshed twice, with moves in between, and names given by hand."""
    shop = make_shop(EVENTS, RULES + CLUSTERS)
    shop.refresh()
    shop.events(*EVENTS, bought("u03", "2024-03-21 10:00", 500.0))
    shop.refresh()
    ids = dict(shop.rows("select segment_name, segment_id from segments.segment where segmentation = 'tier'"))
    assert shop.sqlseg("segments", "rename", ids["High"], "It's the best").code == 0
    return shop


def history(shop):
    return {table: sorted(shop.published(f"from {table}"), key=repr) for table in HISTORY}


def present(shop):
    return {
        table: sorted(shop.published(f"select {columns} from {table}"), key=repr) for table, columns in PRESENT.items()
    }


def spoil(shop):
    """Overwrite every block of the warehouse but its first."""
    content = bytearray(shop.warehouse_file.read_bytes())
    noise = random.Random(0)
    for place in range(3 * 4096, len(content), 4096):
        content[place + 100 : place + 140] = noise.randbytes(40)
    shop.warehouse_file.write_bytes(content)


DAMAGES = {
    "spoilt": spoil,
    "cut": lambda shop: shop.warehouse_file.write_bytes(shop.warehouse_file.read_bytes()[:300_000]),
    "empty": lambda shop: shop.warehouse_file.write_bytes(b""),
    "no database": lambda shop: shop.warehouse_file.write_bytes(b"This is no database.\n" * 1000),
    "its head is gone": lambda shop: shop.warehouse_file.write_bytes(
        b"\0" * 12288 + shop.warehouse_file.read_bytes()[12288:]
    ),
}


def mostly_slow(cases):
    """The first case with the quick tests, the others with the slow ones."""
    first, *others = cases
    return [
        first,
        *(pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow) for one in others),
    ]


@pytest.mark.parametrize("damage", mostly_slow(DAMAGES))
def test_a_damaged_warehouse_is_told_and_made_anew_with_its_history(shop, damage):
    before, now = history(shop), present(shop)
    assert before["segments.membership_history"]
    assert before["segments.transition"]
    DAMAGES[damage](shop)
    damaged, published = shop.warehouse_file.read_bytes(), shop.published_file.read_bytes()
    for command in (("refresh",), ("check",)):
        ran = shop.sqlseg(*command)
        assert ran.code == 1, ran
        assert "`sqlseg refresh --rebuild`" in " ".join(ran.err.split())
        assert "Traceback" not in ran.err
    assert shop.sqlseg("doctor").code == 1
    assert shop.published_file.read_bytes() == published
    ran = shop.sqlseg("refresh", "--rebuild")
    assert ran.code == 0, ran.err
    (kept,) = shop.directory.glob("warehouse.duckdb.before-*")
    assert kept.read_bytes() == damaged
    assert kept.name in ran.err.replace("\n", "")
    assert history(shop) == before
    assert present(shop) == now
    assert shop.sqlseg("doctor").code == 0
    assert shop.refresh().plan.kind == "noop"


def test_what_came_meanwhile_moves_users_of_the_rebuilt_warehouse(shop):
    before = history(shop)
    shop.warehouse_file.unlink()
    shop.events(*EVENTS, bought("u03", "2024-03-21 10:00", 500.0), bought("u04", "2024-03-22 10:00", 500.0), NEW)
    outcome = shop.refresh(rebuild=True)
    moved = {(move.segmentation, move.cause, move.user_count) for move in outcome.moves}
    assert ("tier", "first_seen", 1) in moved
    assert ("tier", "behavior", 1) in moved
    stays = set(before["segments.membership_history"])
    begun = set(history(shop)["segments.membership_history"]) - stays
    assert {row[0] for row in begun if row[1] == "tier"} == {"u04", "new"}
    assert history(shop)["segments.model"] == before["segments.model"]
    named = "select segment_name from segments.membership where user_id = 'new' and segmentation = 'tier'"
    assert shop.published(named) == [("It's the best",)]


@pytest.mark.slow
def test_models_and_statistics_of_a_busy_shop_stay(busy_shop, tmp_path):
    shop = busy_shop.copy(tmp_path / "shop")
    statistics = "select * from stats.category_price_v1"
    before, now, frozen = history(shop), present(shop), shop.published(statistics)
    assert before["segments.lineage"]
    shop.refresh(rebuild=True)
    assert history(shop) == before
    assert present(shop) == now
    assert shop.published(statistics) == frozen != []


def lose(shop):
    shop.published_file.unlink()


def change(shop):
    shop.published_file.chmod(0o644)
    with duckdb.connect(str(shop.published_file)) as connection:
        connection.execute("delete from segments.membership_history where user_id = 'u03'")


def spoil_published(shop):
    shop.published_file.chmod(0o644)
    shop.published_file.write_bytes(b"x" * 9999)


def withhold(shop):
    shop.settings(RULES + CLUSTERS + '[privacy]\ntables = ["segments.segment"]\n')
    shop.refresh()


@pytest.mark.parametrize(
    ("missing", "why"),
    mostly_slow(
        [
            (change, "its content hash is another one"),
            (lose, "it is not there"),
            (spoil_published, "cannot be read"),
            (withhold, r"\[privacy\] keeps"),
        ]
    ),
)
def test_without_a_whole_published_file_it_is_refused_and_nothing_changes(shop, missing, why):
    missing(shop)
    before = shop.warehouse_file.read_bytes()
    ran = shop.sqlseg("refresh", "--rebuild")
    assert ran.code == 1
    assert re.search(why, " ".join(ran.err.split())), ran.err
    assert "backup" in ran.err
    assert shop.warehouse_file.read_bytes() == before
    assert not [path.name for path in shop.directory.iterdir() if "rebuilding" in path.name or "before" in path.name]


@pytest.mark.slow
def test_a_rebuilt_warehouse_does_not_take_the_forgotten_in_and_forget_names_the_old_file(shop):
    assert shop.sqlseg("forget", "u03").code == 0
    spoil(shop)
    shop.refresh(rebuild=True)
    assert "u03" not in shop.segments_of()
    assert "warehouse.duckdb.before-" in shop.sqlseg("forget", "u04").out.replace("\n", "")


def test_a_watch_does_not_rebuild(shop):
    assert shop.sqlseg("refresh", "--rebuild", "--watch", "5").code == 2
