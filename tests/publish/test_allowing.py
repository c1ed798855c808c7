"""`[privacy] tables` and `columns`: only what they name is in the published file, and no text tells of the rest."""

import pytest
from shops import CLUSTERS, RULES, bought, new_shop

BEGUN = [bought(f"u{n:02}", f"2024-03-{1 + n % 9:02} 10:00", 5.0 * (n + 1)) for n in range(24)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("allow") / "shop", BEGUN, RULES + CLUSTERS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(made, tmp_path):
    return made.copy(tmp_path / "shop")


def allow(shop, text):
    shop.settings(f"{RULES}{CLUSTERS}\n[privacy]\n{text}\n")
    shop.refresh()


def relations(shop):
    return {
        row[0]
        for row in shop.published(
            "select distinct schema_name || '.' || table_name from duckdb_columns() where not internal"
        )
    }


def columns(shop, name):
    return [row[0] for row in shop.published(f"select column_name from (describe {name})")]


def texts(shop):
    """Every text of the published file, tables and their definitions."""
    found = []
    for name in relations(shop):
        if name != "segments.privacy":
            found += [str(row) for row in shop.published(f"select * from {name}")]
    found += [row[0] for row in shop.published("select sql from duckdb_views() where not internal")]
    return "\n".join(found)


def test_only_named_tables_are_published(shop):
    allow(shop, 'tables = ["segments.segment*", "segments.daily", "features.rfm*"]')
    assert relations(shop) == {
        "segments.run", "segments.privacy", "quality.content",  # what every file holds
        "segments.segment", "segments.segmentation", "segments.daily", "features.rfm", "features.rfm_v1",
    }  # fmt: skip
    assert shop.published("select count(*) from features.rfm") == [(24,)]
    told = '["segments.segment*", "segments.daily", "features.rfm*"]'
    assert shop.published("select * from segments.privacy") == [("tables", told)]


def test_a_view_goes_with_the_tables_that_it_reads(shop):
    assert {"segments.reason", "segments.groups_live"} <= relations(shop)
    allow(shop, 'tables = ["segments.reason", "segments.user_reason", "segments.*_live"]')
    assert relations(shop) == {"segments.run", "segments.privacy", "segments.user_reason", "quality.content"}


def test_only_named_features_are_published(shop):
    before = texts(shop)
    assert all(told in before for told in ("spend", "rfm__orders"))
    allow(shop, 'columns = ["rfm__recency_*"]')
    assert columns(shop, "features.rfm_v1") == ["user_id", "recency_days"]
    assert columns(shop, "features.rfm") == ["user_id", "recency_days"]
    assert [name for name in columns(shop, "segments.groups_users") if "__" in name] == ["rfm__recency_days"]
    for table in ("profile", "user_reason", "reason", "input"):
        found = {row[0] for row in shop.published(f"select distinct feature from segments.{table}")}
        assert found <= {"rfm__recency_days"}, table
    left = texts(shop)
    assert "rfm__orders" not in left
    assert "rfm__spend" not in left
    # Texts with means, conditions, and the models, which hold the centre of every feature.
    assert shop.published("select distinct description, rule_sql from segments.segment") == [(None, None)]
    assert shop.published("select distinct parameters from segments.model") == [(None,)]
    assert "segments.groups_live" not in relations(shop)
    # Of the features that are published, nothing is missing.
    assert shop.published("select sum(rfm__recency_days) from segments.groups_users") == shop.rows(
        "select sum(rfm__recency_days) from segments.groups_users"
    )


def test_a_feature_table_without_a_column_left_goes(shop):
    shop.write(
        "sql/features/visits__v1.sql",
        "-- Visits.\n-- grain: user_id\nselect user_id, count(*) as visits -- n\nfrom events group by user_id",
    )
    allow(shop, 'columns = ["rfm__spend"]')
    assert not any("visits" in name for name in relations(shop))


def test_changed_settings_are_published_though_nothing_is_new(shop):
    shop.refresh()
    as_it_was = shop.published_file.stat().st_ino
    shop.refresh()
    assert shop.published_file.stat().st_ino == as_it_was
    allow(shop, 'tables = ["segments.segment"]')
    assert "segments.membership" not in relations(shop)
    assert any("[privacy]" in note for note in shop.notes)
    as_it_was = shop.published_file.stat().st_ino
    shop.refresh()
    assert shop.published_file.stat().st_ino == as_it_was
    shop.settings(RULES + CLUSTERS)
    shop.refresh()
    assert {"segments.membership"} <= relations(shop)
    assert "segments.privacy" not in relations(shop)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('columns = ["rfm__spent"]', "did you mean rfm__spend?"),
        ('columns = ["rfm__spend", "price__*"]', "privacy.columns[1]"),
        ('tables = ["segments.segmnt"]', "did you mean segments.segment"),
        ('tables = ["events"]', "no published table or view is called 'events'"),
        ("tables = []", "must be a list of names"),
        ('tables = "segments.*"', "must be a list of names"),
        ('columns = ["rfm__[a-z]"]', "got 'rfm__[a-z]'"),
        ("columns = [1]", "must be a list of names"),
        ('table = ["segments.*"]', "did you mean tables?"),
    ],
)
def test_unknown_names_are_an_error_with_the_nearest(shop, text, told):
    shop.settings(f"{RULES}{CLUSTERS}\n[privacy]\n{text}\n")
    ran = shop.sqlseg("refresh")
    assert (ran.code, ran.out) == (1, "")
    assert told in ran.err.replace("\n", " ")
    assert "sqlseg.toml:" in ran.err


def test_commands_say_what_is_not_published(shop):
    allow(shop, 'tables = ["segments.daily"]')
    for arguments in (
        ["segments", "list"],
        ["segments", "show", "tier"],
        ["segments", "show", "groups", "--sql"],
        ["segments", "diff"],
    ):
        ran = shop.sqlseg(*arguments)
        assert ran.code == 1, arguments
        assert "is published without" in ran.err
    assert shop.sqlseg("segments", "explain", "u01").code == 0  # which reads the warehouse
    allow(shop, 'columns = ["rfm__spend"]')
    ran = shop.sqlseg("segments", "show", "groups", "--sql")
    assert ran.code == 1
    assert "[privacy]" in ran.err
    assert shop.sqlseg("segments", "show", "groups").code == 0
    assert shop.sqlseg("segments", "list").code == 0
