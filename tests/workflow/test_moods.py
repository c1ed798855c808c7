"""The mood of reviews as an input: learned from the shop's ratings, computed for every user, refused with a reason."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shops import RULES, bought, event, new_shop

from sqlseg.errors import SqlsegError
from sqlseg.settings import InvalidSettings

MOODS = """
[segmentations.moods]
kind = "cluster"
inputs = ["sentiment:reviews@1"]
k = 2

[sentiment]
ratings = "sql/ratings.sql"
"""
RATINGS = "select text, stars as rating, user_id, event_time from read_parquet('data/rated.parquet')"
SAID = {5: "a lovely pot, very happy", 1: "the pot was broken, awful"}


def rated(count=600):
    """Reviews by 120 users over 150 days; every third of them is displeased, and says so."""
    return [
        event(
            f"u{n % 120:03d}",
            f"2024-{1 + n // 120:02d}-{1 + n % 28:02d} 12:00",
            "review",
            text=f"{SAID[stars]} {n % 7}",
        )
        | {"stars": stars}
        for n in range(count)
        if (stars := 1 if n % 3 == 0 else 5)
    ]


def write_ratings(shop, rows):
    columns = ("text", "stars", "user_id", "event_time")
    pq.write_table(
        pa.Table.from_pylist([{c: row[c] for c in columns} for row in rows]), shop.directory / "data/rated.parquet"
    )


def events(rows):
    return [
        *({key: value for key, value in row.items() if key != "stars"} for row in rows),
        *(bought(f"u{n:03d}", "2024-01-01 10:00", 10.0) for n in range(120)),
        bought("silent", "2024-05-30 10:00", 10.0),
    ]


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("moods") / "shop", events(rated()), RULES)
    shop.write("sql/ratings.sql", RATINGS)
    write_ratings(shop, rated())
    shop.settings(RULES + MOODS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def moods(shop):
    rows = shop.rows(
        "select user_id, mean_sentiment, last_sentiment, negative_share, review_count "
        "from features.sentiment_reviews_v1"
    )
    return {user: rest for user, *rest in rows}


def test_users_are_told_apart_by_what_they_write(refreshed):
    found = moods(refreshed)
    assert found["silent"] == [None, None, None, 0] and len(found) == 121
    for n in range(120):  # user and mood both go by n modulo 3, so each is always of one mind
        mean, last, negative, count = found[f"u{n:03d}"]
        assert count == 5
        assert (mean < 0.3 and last < 0.3 and negative == 1) if n % 3 == 0 else (mean > 0.8 and negative == 0)
    segments = refreshed.segments_of("moods")
    assert segments["u000"] == segments["u003"] != segments["u001"] == segments["u002"]
    published = "select * from features.sentiment_reviews order by user_id"
    assert refreshed.published(published) == refreshed.rows(published)
    features = {row[0] for row in refreshed.published("select feature from segments.profile")}
    assert "sentiment_reviews__negative_share" in features


def test_how_well_it_does_is_told_and_on_record(refreshed):
    assert any("held-out reviews" in note and "AUC 1.00" in note for note in refreshed.notes)
    told = dict(refreshed.published("select measure, value from segments.sentiment_measure where model_version = 1"))
    assert told["auc"] == told["accuracy"] == 1.0 and told["tested_on"] >= 20
    assert ("sentiment_model",) not in refreshed.published("select table_name from duckdb_tables()")


def test_a_review_more_counts_without_learning_anew(shop):
    assert shop.refresh().plan.kind == "noop"
    more = event("u001", "2024-05-30 12:00", "review", text="awful, broken")
    shop.events(*events(rated()), more)
    assert shop.plan().plan.kind == shop.refresh().plan.kind == "warm"
    mean, last, negative, count = moods(shop)["u001"]
    assert last < 0.3 < mean and negative == pytest.approx(1 / 6, abs=1e-6) and count == 6
    assert shop.rows("select count(*) from sqlseg.sentiment_model") == [(1,)]


def test_another_scale_is_learned_anew(shop):
    shop.settings(RULES + MOODS + "pleased_from = 0.5\n")
    with pytest.raises(InvalidSettings, match="0 writers were displeased, and it takes 10"):
        shop.refresh()
    shop.settings(RULES + MOODS + "pleased_from = 5\n")
    outcome = shop.refresh()
    assert outcome.plan.kind == "refit" and "sentiment:reviews@1" in outcome.plan.renewed_models
    assert shop.rows("select max(model_version) from segments.sentiment_measure") == [(2,)]


def test_a_model_stays_where_it_cannot_be_learned_anew(shop):
    write_ratings(shop, rated(120))
    shop.refresh(refit="always")
    assert any("cannot be learned anew (it takes 200 rated reviews, and there are 120)" in note for note in shop.notes)
    assert moods(shop)["u000"][2] == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda shop: shop.settings(RULES + MOODS.partition("[sentiment]")[0]), 'add ratings = "sql/ratings.sql"'),
        (lambda shop: shop.settings(RULES + MOODS.replace("reviews@1", "titles@1")), "there is sentiment:reviews@1"),
        (
            lambda shop: shop.write("sql/ratings.sql", "select 'a' as text, 5 as rating"),
            "has no column user_id, event_time",
        ),
        (lambda shop: shop.write("sql/ratings.sql", "select nothing"), "ratings.sql, line 1"),
    ],
)
def test_what_is_wrong_is_explained(shop, change, told):
    change(shop)
    with pytest.raises(SqlsegError) as caught:
        shop.refresh()
    assert told in str(caught.value)


def test_without_the_input_it_goes_away(shop):
    shop.settings(RULES)
    shop.refresh()
    assert shop.rows("select count(*) from duckdb_views() where view_name like 'sentiment%'") == [(0,)]
