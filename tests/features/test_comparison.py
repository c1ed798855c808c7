"""Two versions of a view side by side."""

from sqlseg.features.comparison import compare_views

OLD = """select
    user_id,
    max(price) as top,  -- #default(0) the highest price
    count(*) as orders
from events
group by user_id
"""

NEW = """select
    user_id,
    max(e.price) as top,  -- #default(0) the highest price ever
    count(distinct order_id) as orders,
    max(country) as country
from events as e left join users using (user_id)
group by user_id
"""


def test_what_differs_is_data(view_of):
    compared = compare_views(view_of(OLD), view_of(NEW, version=2))
    assert (compared.old, compared.new, compared.same_result, compared.body_changed) == ("rfm@1", "rfm@2", False, True)
    assert (compared.added, compared.removed, compared.changed) == (("country",), (), ("top", "orders"))
    assert (compared.redescribed, compared.reads_added, compared.reads_removed) == (("top",), ("users",), ())
    assert compared.text[:2] == ("--- rfm@1", "+++ rfm@2") and "-from events" in compared.text
    assert compared.summary() == [
        "columns added: country",
        "columns changed: top, orders",
        "reads now users",
        "another FROM, WHERE, GROUP BY or CTE",
    ]


def test_comments_differ_in_the_text_alone(view_of):
    compared = compare_views(view_of(OLD), view_of("-- New words.\n" + OLD.replace("select", "SELECT")))
    assert compared.same_result and compared.summary() == [] and compared.text


def test_the_order_of_columns_is_a_difference(view_of):
    one, two = (view_of(f"select user_id, {columns} from users") for columns in ("a, b", "b, a"))
    assert compare_views(one, two).summary() == ["another order of columns, or another grain"]
