"""A published version keeps its meaning; everything else about it is free."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlseg.features.lock import (
    ChangedPublishedView,
    Lock,
    UnreadableLock,
    changed,
    check_lock,
    locked,
    parse_lock,
    published_view,
    read_lock,
    removed,
    unpublished,
    write_lock,
)

RFM = """-- Recency and money.
select
    user_id,                   -- #unique
    max(price) as top,         -- #default(0) #high(dear) the highest price
    count(*) as orders         -- #range(1,)
from events
where event_type = 'purchase'
group by user_id
"""

FREE = {
    "comments and spacing": """select user_id, -- who
        max( price )  as top, -- #default(0) top
        count(*) as orders /* all */ from events
        where event_type = 'purchase' group by user_id
""",
    "the case of words": RFM.replace("select", "SELECT").replace("max(price) as", "MAX(Price) AS"),
    "the case of names": RFM.replace("from events", "from Events").replace("user_id", '"User_ID"'),
    "descriptions and checks": RFM.replace("#range(1,)", "#range(0,) #not_null orders ever").replace("dear", "pricey"),
    "the header": RFM.replace("Recency and money.", "Money and recency, in other words."),
}

MEANING = {
    "columns changed: top": RFM.replace("max(price)", "max(price * 2)"),
    "columns changed: orders": RFM.replace("count(*)", "count(item_id)"),
    "columns added: low": RFM.replace("count(*) as orders ", "min(price) as low, count(*) as orders "),
    "columns removed: orders": RFM.replace("top, ", "top").replace("count(*) as orders", "--"),
    "another FROM, WHERE, GROUP BY or CTE": RFM.replace("= 'purchase'", "= 'Purchase'"),
    "reads now users": RFM.replace("from events", "from events join users using (user_id)"),
}  # fmt: skip


@pytest.fixture
def lock(view_of):
    return locked(Lock({}), [view_of(RFM)])


@pytest.mark.parametrize("text", FREE.values(), ids=FREE.keys())
def test_what_is_free(lock, view_of, text):
    assert changed(lock, [view_of(text)]) == []
    assert locked(lock, [view_of(text)]).texts["features/rfm__v1.sql"] == text


@pytest.mark.parametrize(("what", "text"), MEANING.items(), ids=MEANING.keys())
def test_what_wants_a_new_version(lock, view_of, what, text):
    (change,) = changed(lock, [view_of(text)])
    assert change.ref == "rfm@1" and what in change.what
    with pytest.raises(ChangedPublishedView) as caught:
        check_lock(lock, [view_of(text)])
    assert caught.value.message.startswith("sql/features/rfm__v1.sql: rfm@1 is published, and now has ")
    assert "rfm__v2.sql" in str(caught.value.hint) and "restore rfm__v1.sql" in str(caught.value.hint)
    with pytest.raises(ChangedPublishedView):
        locked(lock, [view_of(text)])


def test_a_default_is_meaning_though_it_stands_in_a_comment(lock, view_of):
    (change,) = changed(lock, [view_of(RFM.replace("#default(0)", "#default(1)"))])
    assert change.what == ("columns changed: top",)


def test_a_new_version_is_free_and_unpublished_until_locked(lock, view_of):
    second = view_of(RFM.replace("max", "min"), version=2)
    assert changed(lock, [view_of(RFM), second]) == []
    assert unpublished(lock, [view_of(RFM), second]) == [second]
    both = locked(lock, [second])
    assert sorted(both.texts) == ["features/rfm__v1.sql", "features/rfm__v2.sql"]
    assert removed(both, [second]) == ["rfm@1"]


def test_the_file_is_written_the_same_whatever_the_order(view_of, tmp_path):
    views = [view_of(RFM), view_of(RFM, name="x"), view_of("-- grain: one row\nselect 1 as one", "statistics", "a")]
    lock = locked(Lock({}), views)
    assert lock.text() == locked(Lock({}), reversed(views)).text()
    write_lock(tmp_path, lock)
    read = read_lock(tmp_path)
    assert read.texts == lock.texts and read.text() == lock.text()
    assert published_view(read, "features/x__v1.sql", tmp_path).ref == "x@1"
    assert (tmp_path / "features.lock").read_text().count("-------- ") == 3


def test_no_lock_is_an_empty_one(tmp_path):
    assert read_lock(tmp_path).texts == {}


def test_branches_that_add_views_merge_line_by_line(view_of):
    base = locked(Lock({}), [view_of(RFM, name="m")])
    one, two = (locked(base, [view_of(RFM, name=name)]).text() for name in ("a", "z"))
    both = locked(base, [view_of(RFM, name="a"), view_of(RFM, name="z")]).text()
    assert both.startswith(one.rstrip()) and both.endswith(two[len(base.text()) :])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("select 1\n", 1, "belongs to no entry"),
        ("-- x\n\n-------- features/a__v1.sql\nselect 1\n<<<<<<< HEAD\nselect 2\n", 5, "merge"),
        ("-------- features/a__v1.sql\nselect 1\n-------- features/a__v1.sql\nselect 2\n", 3, "two different"),
    ],
)
def test_a_broken_lock_is_named_with_its_line(text, line, words):
    with pytest.raises(UnreadableLock, match=words) as caught:
        parse_lock(text, Path("sql/features.lock"))
    assert caught.value.message.startswith(f"sql/features.lock:{line}: ")


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n")).map(
    lambda text: "\n".join(f"-- {line}" for line in text.split("\n")) + "\nselect 1\n"
)


@given(st.dictionaries(st.from_regex(r"features/[a-z]{1,3}__v[1-9]\.sql", fullmatch=True), TEXTS))
def test_what_is_written_is_read_back(texts):
    lock = Lock({key: text.strip("\n") + "\n" for key, text in texts.items()})
    again = parse_lock(lock.text(), Path("features.lock"))
    assert again.text() == lock.text()
    assert {key: text.rstrip() for key, text in again.texts.items()} == {k: t.rstrip() for k, t in lock.texts.items()}
