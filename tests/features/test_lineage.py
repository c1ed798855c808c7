"""What a view, and each of its columns, comes from."""

from sqlseg.features.lineage import view_lineage
from sqlseg.features.registry import Registry
from sqlseg.resources import resource_root

FILES = {
    "statistics/prices__v1.sql": "-- grain: category\nselect category, avg(price) as p50 from events group by all",
    "features/a__v1.sql": """
        with lines as (
            select e.user_id, e.price / s.p50 as level, e.quantity as pieces
            from events e left join stats.prices_v1 s using (category)
        )
        select user_id, avg(level) as level, sum(pieces) + 1 as pieces, 1 as one from lines group by user_id""",
    "features/b__v1.sql": "select user_id, level * 2 as twice, country from features.a_v1 join users using (user_id)",
}


def test_columns_are_followed_through_ctes_and_views(registry):
    loaded = registry(FILES)
    lineage = view_lineage(loaded, loaded.view("features", "a@1"))
    assert (lineage.reads, lineage.upstream) == (("events", "stats.prices_v1"), ("events", "stats.prices_v1"))
    assert lineage.columns == {
        "user_id": ("events.user_id",),
        "level": ("events.price", "stats.prices_v1.p50"),
        "pieces": ("events.quantity",),
        "one": (),
    }


def test_upstream_reaches_through_views_and_columns_need_known_attributes(registry):
    loaded = registry(FILES)
    view = loaded.view("features", "b@1")
    assert view_lineage(loaded, view).upstream == ("events", "features.a_v1", "stats.prices_v1", "users")
    assert view_lineage(loaded, view).columns is None
    known = view_lineage(loaded, view, {"users": ["user_id", "country"]}).columns
    assert known is not None and known["twice"] == ("features.a_v1.level",) and known["country"] == ("users.country",)


def test_every_shipped_view_has_column_lineage():
    shipped = Registry.load([resource_root("sql")])
    for view in shipped.views:
        attributes = {"users": ["user_id"], "items": ["item_id", "title", "image_path"]}
        columns = view_lineage(shipped, view, attributes).columns
        assert columns is not None and set(columns) == {column.name for column in view.columns}
