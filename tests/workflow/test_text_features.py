"""A feature view with text, as an input of a segmentation, through whole refreshes."""

from shops import CLUSTERS, bought, new_shop

VIEW = """-- What users buy most.
-- grain: user_id
select
    user_id,                               -- #unique #not_null
    max(category) as favourite,            -- the category
    sum(price) as spend                    -- #default(0)
from events
where event_type = 'purchase'
group by user_id
"""

KINDS = ["tea", "coffee", None, "it's, 'quoted'"]
EVENTS = [
    bought(f"user{n:03}", f"2024-03-{1 + n % 9:02} 10:00", 10.0, category=KINDS[n % 4] if n > 1 else f"rare {n}")
    for n in range(120)
]


def test_users_are_divided_by_what_they_like_and_the_live_view_agrees(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS)
    shop.write("sql/features/likes__v1.sql", VIEW)
    shop.settings(CLUSTERS.replace("rfm@1", "likes@1").replace("k = 2", "k = 4"))
    shop.refresh()
    rows = shop.rows("select user_id, segment_id from segments.membership")
    liked = {f"user{n:03}": KINDS[n % 4] for n in range(2, 120)}
    by_kind = {kind: {segment for user, segment in rows if liked.get(user, "") == kind} for kind in KINDS}
    assert all(len(segments) == 1 for segments in by_kind.values())
    assert len(set.union(*by_kind.values())) == 4
    live = shop.rows("select user_id, segment_id from segments.groups_live")
    assert sorted(live) == sorted(rows)
    features = {feature for (feature,) in shop.rows("select distinct feature from segments.reason")}
    assert "likes__favourite=tea" in features
    ran = shop.sqlseg("segments", "explain", "user010")
    assert ran.code == 0 and "likes__favourite" in ran.out

    more = [bought("later", "2024-03-09 12:00", 10.0, category="tea"), bought("new", "2024-03-09 12:00", 10.0)]
    shop.events(*EVENTS, *more)
    assert shop.refresh().plan.kind == "warm"
    after = dict(shop.rows("select user_id, segment_id from segments.membership"))
    assert after["later"] == after["user004"] and after["new"] == after["user002"]


def test_text_stands_still_while_time_passes_for_a_user(tmp_path):
    view = VIEW.replace(
        "sum(price) as spend                    -- #default(0)",
        "date_diff('day', max(local_time)::date, local_as_of()::date) as idle_days -- days since the last purchase",
    )
    only_text = view.replace("date_diff('day', max(local_time)::date, local_as_of()::date) as idle_days", "")
    only_text = only_text.replace(
        "max(category) as favourite,            -- the category",
        "case when max(local_time) < local_as_of() - interval 5 day then 'old' else 'new' end as age -- how long ago",
    ).replace(" -- days since the last purchase", "")
    shop = new_shop(tmp_path / "shop", EVENTS)
    shop.write("sql/features/likes__v1.sql", view)
    shop.write("sql/features/ages__v1.sql", only_text)
    shop.settings(CLUSTERS.replace('"rfm@1"', '"likes@1", "ages@1"').replace("k = 2", "k = 4"))
    shop.refresh()
    ran = shop.sqlseg("segments", "explain", "user010")
    assert ran.code == 0, ran.err
    assert "If nothing happens: " in ran.out
