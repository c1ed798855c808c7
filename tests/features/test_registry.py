"""A folder of SQL files becomes a registry, or one error that names the file, the line and what would be valid."""

import pytest

from sqlseg.errors import SqlsegError
from sqlseg.features.locality import locality_problems
from sqlseg.features.registry import (
    BadReference,
    CyclicViews,
    DuplicateView,
    Registry,
    UnknownFeatureView,
    UnknownVersion,
    parse_ref,
)
from sqlseg.features.tags import Check
from sqlseg.features.view import BadFileName, Column, InvalidView
from sqlseg.resources import resource_root
from sqlseg.sqltext import UnreadableSql

RFM = """-- Recency, frequency and money of buyers. More about it,
-- on two lines.
-- grain: user_id
with bought as (select * from events where event_type = 'purchase')  -- only purchases count
select
    user_id,  -- #unique #not_null
    date_diff('day', max(local_time)::date, local_as_of()::date)
        as recency_days,  -- #range(0,) #high(lapsed) #low(recently active) days since
                          -- the last purchase
    count(*) as orders,   -- #range(1,1e6) #default(0)
    -- money
    max(price) as top     -- #accepted(cheap, 'it''s dear', 3) #default('none, (yet)') number #1 of all
from bought
group by user_id
"""

PRICES = "-- Price levels.\n-- grain: category\nselect category, median(price) as p50 from events group by category"


def test_a_file_becomes_a_view(registry):
    view = registry({"features/rfm__v1.sql": RFM}).view("features", "rfm@1")
    assert (view.ref, view.relation, view.table) == ("rfm@1", "features.rfm_v1", "feature_rfm_v1")
    assert view.summary == "Recency, frequency and money of buyers."
    assert view.description == "More about it,\non two lines."
    assert view.grain == ("user_id",)
    assert (view.reads, view.depends_on, view.uses_as_of) == (("events",), (), True)
    assert view.columns == (
        Column("user_id", "", (Check("unique"), Check("not_null"))),
        Column(
            "recency_days",
            "days since the last purchase",
            (Check("range", ("0", None)),),
            high="lapsed",
            low="recently active",
        ),
        Column("orders", "", (Check("range", ("1", "1e6")),), default="0"),
        Column(
            "top",
            "number #1 of all",
            (Check("accepted", ("'cheap'", "'it''s dear'", "3")),),
            default="'none, (yet)'",
        ),
    )
    assert [column.name for column in view.values] == ["recency_days", "orders", "top"]


def test_the_parts_of_a_project_are_found_by_name(registry):
    loaded = registry(
        {
            "features/rfm__v1.sql": RFM,
            "features/rfm__v2.sql": RFM,
            "features/rfm__v10.sql": RFM,
            "statistics/rfm__v1.sql": PRICES,
            "sequences/behavior__v1.sql": "select user_id, 1 as position from events",
            "features/README.md": "not a view",
        }
    )
    assert [view.ref for view in loaded.all("features")] == ["rfm@1", "rfm@2", "rfm@10"]
    assert loaded.latest("features", "rfm").version == 10
    assert loaded.view("statistics", "rfm@1").relation == "stats.rfm_v1"
    assert loaded.view("sequences", "behavior@1").grain == ("user_id", "position")
    assert loaded.by_relation("features.rfm_v2").version == 2


def test_the_closure_puts_each_view_after_what_it_reads(registry):
    loaded = registry(
        {
            "features/a__v1.sql": "select user_id, b_v1.x as x from features.b_v1 cross join stats.prices_v1",
            "features/b__v1.sql": "select user_id, local_as_of() as x from features.c_v1",
            "features/c__v1.sql": "select e.user_id, max(s.p50) as x from events e "
            "left join stats.prices_v1 s using (category) group by 1",
            "features/d__v1.sql": "select user_id from events group by 1",
            "statistics/prices__v1.sql": PRICES,
            "statistics/tops__v1.sql": "-- grain: one row\nselect max(p50) as p, as_of() as t from stats.prices_v1",
        }
    )
    closure = loaded.closure(["a@1", "b@1"])
    assert [view.relation for view in closure] == ["stats.prices_v1", "features.c_v1", "features.b_v1", "features.a_v1"]
    assert [view.relation for view in loaded.closure(["tops@1"], "statistics")] == ["stats.prices_v1", "stats.tops_v1"]
    assert [view.relation for view in loaded.closure([loaded.view("features", "d@1")])] == ["features.d_v1"]
    assert [loaded.uses_as_of(loaded.view("features", f"{name}@1")) for name in "abcd"] == [True, True, False, False]


def test_a_fingerprint_covers_what_a_view_reads_and_not_how_it_is_described(registry, view_of):
    files = {
        "features/a__v1.sql": "select user_id, sum(p50) as x "
        "from events join stats.prices_v1 using (category) group by 1",
        "statistics/prices__v1.sql": PRICES,
    }

    def fingerprint(**changes):
        loaded = registry(files | changes)
        return loaded.fingerprint(loaded.view("features", "a@1"))

    before = fingerprint()
    assert fingerprint(**{"statistics/prices__v1.sql": PRICES.replace("levels", "bands")}) == before
    assert fingerprint(**{"statistics/prices__v1.sql": PRICES.replace("median", "avg")}) != before
    assert fingerprint(**{"features/a__v1.sql": files["features/a__v1.sql"] + " -- done"}) == before
    one, reworded, other = (
        view_of(RFM),
        view_of(RFM.replace("lapsed", "lost")),
        view_of(RFM.replace("#default(0)", "")),
    )
    assert one.computed_fingerprint == reworded.computed_fingerprint != other.computed_fingerprint
    assert one.description_fingerprint != reworded.description_fingerprint


def test_shop_views_stand_beside_shipped_ones(sql_root):
    shipped = sql_root({"features/rfm__v1.sql": RFM}, "shipped")
    shop = sql_root(
        {"features/rfm__v2.sql": RFM, "features/own__v1.sql": "select user_id from features.rfm_v1"}, "shop"
    )
    loaded = Registry.load([shipped, shop])
    assert [view.ref for view in loaded.all("features")] == ["own@1", "rfm@1", "rfm@2"]
    sql_root({"features/rfm__v1.sql": RFM}, "shop")
    with pytest.raises(DuplicateView) as caught:
        Registry.load([shipped, shop])
    assert (
        "shipped/features/rfm__v1.sql" in caught.value.message and "shop/features/rfm__v1.sql" in caught.value.message
    )
    assert "rfm__v2.sql" in str(caught.value.hint)


def test_the_shipped_views_load_and_are_user_local():
    loaded = Registry.load([resource_root("sql")])
    assert loaded.latest("features", "rfm").version >= 1
    assert {view.ref: problems for view in loaded.views if (problems := locality_problems(view.kind, view.tree))} == {}


def test_a_shop_cannot_pass_off_a_view_as_shipped(sql_root):
    shop = sql_root({"features/rfm__v9.sql": "select user_id, random() as x from events"}, "sqlseg/sql")
    with pytest.raises(InvalidView, match="left to chance"):
        Registry.load([resource_root("sql"), shop])


def test_unknown_views_and_versions_list_the_candidates(registry):
    loaded = registry(
        {f"features/{name}__v1.sql": RFM for name in ("cadence", "rfm", "rfm_plus")} | {"features/rfm__v2.sql": RFM}
    )
    with pytest.raises(UnknownFeatureView) as caught:
        loaded.view("features", "rmf@1")
    assert caught.value.message == "No feature view named 'rmf'."
    assert caught.value.hint == "Choose one of: rfm, rfm_plus, cadence."
    with pytest.raises(UnknownVersion) as version:
        loaded.view("features", "rfm@7")
    assert version.value.message == "The feature view 'rfm' has no version 7."
    assert version.value.hint == "Choose one of: rfm@1, rfm@2."
    with pytest.raises(BadReference) as reference:
        loaded.view("features", "rfm")
    assert reference.value.hint == "Choose one of: rfm@1, rfm@2."
    with pytest.raises(UnknownFeatureView) as statistics:
        loaded.latest("statistics", "prices")
    assert statistics.value.hint == "There are none."


@pytest.mark.parametrize("ref", ["rfm@", "@1", "rfm@0", "rfm@1.0", "rfm@v1", "Rfm@1", "rfm @1", ""])
def test_a_reference_is_name_at_version(ref):
    with pytest.raises(BadReference):
        parse_ref(ref)


@pytest.mark.parametrize(
    "name",
    ["rfm.sql", "rfm__v0.sql", "rfm__v01.sql", "rfm_v1.sql", "RFM__v1.sql", "rfm__v1.SQL", "rfm_v2__v1.sql",
     "2x__v1.sql", "a__b__v1.sql", "_a__v1.sql", "a b__v1.sql", "rfm__1.sql", "forecast_churn__v1.sql",
     "sentiment_reviews__v1.sql"],
)  # fmt: skip
def test_a_bad_file_name_is_refused(registry, name):
    with pytest.raises(BadFileName) as caught:
        registry({f"features/{name}": RFM})
    assert name in caught.value.message and "rfm__v1.sql" in str(caught.value.hint)


BAD_VIEWS = {
    "star": ("select * from events", 1, "`*`", "one by one"),
    "star of a table": ("select\n  e.*\nfrom events e", 2, "`*`", "one by one"),
    "columns": ("select user_id, columns('p.*') from events", 1, "`*`", "one by one"),
    "no name": ("select user_id,\n max(price) from events group by 1", 2, "MAX(price) has no name", "AS"),
    "no user_id": ("select\n price as x from events", 2, "needs the column user_id", "user_id"),
    "twice": ("select user_id, price as x,\n quantity as X from events", 2, "two columns are named 'x'", "Rename"),
    "column name": ('select user_id,\n price as "My Price" from events', 2, "'My Price' is not a name", "underscores"),
    "double underscore": ("select user_id, price as a__b from events", 1, "'a__b' is not a name", "underscores"),
    "unknown tag": ("select user_id,\n price as p -- #positive\nfrom events", 2, "#positive is no tag", None),
    "twice a tag": ("select user_id, price as p -- #not_null #not_null\nfrom events", 1, "twice", None),
    "range": ("select user_id, price as p -- #range(0)\nfrom events", 1, "two numbers", None),
    "range without": ("select user_id, price as p -- #range of prices\nfrom events", 1, "#range wants", None),
    "empty range": ("select user_id, price as p -- #range(2,1)\nfrom events", 1, "nothing between", None),
    "open parenthesis": ("select user_id, price as p -- #high(dear\nfrom events", 1, "not closed", None),
    "default": ("select user_id, price as p -- #default(none)\nfrom events", 1, "#default(none)", None),
    "default of a query": ("select user_id, price as p -- #default(now())\nfrom events", 1, "#default(now())", None),
    "default of user_id": ("select user_id -- #default('x')\nfrom events", 1, "no place", "no row"),
    "arguments": ("select user_id -- #unique(yes)\nfrom events", 1, "nothing in parentheses", None),
    "lost tag": ("select user_id, max(\n price -- #range(0,)\n) as p from events group by 1", 2, "are lost", "ends"),
    "tag in a CTE": ("with a as (\n from events -- #unique\n)\nselect user_id from a", 2, "tags are lost", None),
    "grain": ("-- A.\n-- grain: user_id, category\nselect user_id, category from events", 2, "is user_id, not", None),
    "unknown relation": ("select user_id\nfrom event", 2, "no relation 'event'", "may read events, users"),
    "schema": ("select user_id from sqlseg.events", 1, "no relation 'sqlseg.events'", "events"),
    "without a version": ("select user_id from features.b", 1, "does not say which version", "features.b_v1"),
    "version that is not": ("select user_id from features.b_v2", 1, "no relation 'features.b_v2'", "features.b_v1"),
    "file": ("select user_id from 'data/users.csv'", 1, "reads no files", "sql/events.sql"),
    "locality": ("select user_id from events\nlimit 3", 2, "LIMIT", "qualify"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words", "hint"), BAD_VIEWS.values(), ids=BAD_VIEWS.keys())
def test_a_bad_view_is_named_with_its_line(registry, text, line, words, hint):
    with pytest.raises(InvalidView) as caught:
        registry({"features/a__v1.sql": text, "features/b__v1.sql": "select user_id from users"})
    assert caught.value.message.endswith(".") and words in caught.value.message
    assert f"a__v1.sql:{line}: " in caught.value.message
    assert hint is None or hint in str(caught.value.hint)


def test_sequences_and_statistics_have_rules_of_their_own(registry):
    with pytest.raises(InvalidView, match="needs the column position"):
        registry({"sequences/a__v1.sql": "select user_id from events"})
    with pytest.raises(InvalidView, match="independent of time"):
        registry({"sequences/a__v1.sql": "select user_id, 1 as position, as_of() as t from events"})
    with pytest.raises(InvalidView, match=r"no relation 'features\.b_v1'"):
        registry(
            {
                "sequences/a__v1.sql": "select user_id, 1 as position from features.b_v1",
                "features/b__v1.sql": "select user_id from users",
            }
        )
    with pytest.raises(InvalidView, match="says what one row"):
        registry({"statistics/a__v1.sql": "select max(price) as p from events"})
    with pytest.raises(InvalidView, match="names 'item', which is no column"):
        registry({"statistics/a__v1.sql": "-- grain: item\nselect item_id from events"})
    with pytest.raises(InvalidView, match="no place"):
        registry({"statistics/a__v1.sql": "-- grain: one row\nselect max(price) as p -- #default(0)\nfrom events"})


def test_a_circle_is_shown(registry):
    with pytest.raises(CyclicViews, match=r"features\.(a|b)_v1 -> features\.(a|b)_v1 -> features\.(a|b)_v1"):
        registry(
            {
                "features/a__v1.sql": "select user_id from features.b_v1",
                "features/b__v1.sql": "select user_id from features.a_v1",
            }
        )


def test_one_unreadable_file_fails_the_whole(registry):
    with pytest.raises(UnreadableSql) as caught:
        registry({"features/rfm__v1.sql": RFM, "features/own__v1.sql": "select user_id\nform events x y"})
    assert "own__v1.sql:2:" in caught.value.message
    assert isinstance(caught.value, SqlsegError)


def test_a_cte_may_have_the_name_of_a_relation(registry):
    text = "with customers as (select * from events) select user_id from customers group by all"
    assert registry({"features/a__v1.sql": text}).view("features", "a@1").reads == ("events",)
