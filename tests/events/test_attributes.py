"""Attributes of users and items are read again when they may be others."""

from datetime import datetime

import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.engine.warehouse import prepare_warehouse
from sqlseg.events import attributes
from sqlseg.events.attributes import read_attributes
from sqlseg.workflow.touched import remember_attributes, touch_changed_attributes

LATER = datetime(2100, 1, 1)


@pytest.fixture
def engine():
    with Engine.open(None, threads=1) as engine:
        prepare_warehouse(engine)
        yield engine


def users(engine: Engine, folder, now: datetime, databases=None) -> str:
    return read_attributes(engine, "users", folder / "users.sql", folder, databases=databases or {}, now=now)


def countries(engine: Engine) -> list[tuple]:
    return engine.rows("select country from sqlseg.users order by all")


def test_attributes_of_files_that_are_as_they_were_are_not_read(engine, tmp_path, monkeypatch):
    (tmp_path / "users.sql").write_text("select * from read_csv('users.csv')")
    (tmp_path / "users.csv").write_text("user_id,country\nann,GB\n")
    first = users(engine, tmp_path, LATER)
    with monkeypatch.context() as patched:
        patched.setattr(attributes, "keep_attributes", None)  # whoever reads them fails
        assert users(engine, tmp_path, LATER) == first
    assert countries(engine) == [("GB",)]

    (tmp_path / "users.csv").write_text("user_id,country\nann,DE\n")
    second = users(engine, tmp_path, LATER)
    assert second != first
    assert countries(engine) == [("DE",)]

    (tmp_path / "users.sql").write_text("select user_id, lower(country) as country from read_csv('users.csv')")
    third = users(engine, tmp_path, LATER)
    assert third not in (first, second)
    assert countries(engine) == [("de",)]

    (tmp_path / "users.sql").unlink()
    assert users(engine, tmp_path, LATER).startswith("0/")
    assert engine.rows("from sqlseg.users") == []


@pytest.mark.parametrize(
    ("text", "now"),
    [
        ("select * from read_csv('users.csv')", datetime(2000, 1, 1)),  # the file may have been written since
        ("select *, now() as seen from read_csv('users.csv')", LATER),
    ],
)
def test_what_may_be_another_is_read_each_time(engine, tmp_path, monkeypatch, text, now):
    (tmp_path / "users.sql").write_text(text)
    (tmp_path / "users.csv").write_text("user_id,country\nann,GB\n")
    users(engine, tmp_path, now)
    read = []
    keep = attributes.keep_attributes
    monkeypatch.setattr(
        attributes, "keep_attributes", lambda *given, **more: read.append(given) or keep(*given, **more)
    )
    users(engine, tmp_path, now)
    assert len(read) == 1


def test_another_database_under_the_same_name_is_read(engine, tmp_path, monkeypatch):
    (tmp_path / "users.sql").write_text("select 'ann' as user_id, 'GB' as country")
    users(engine, tmp_path, LATER, {"crm": "duckdb:/one"})
    read = []
    keep = attributes.keep_attributes
    monkeypatch.setattr(
        attributes, "keep_attributes", lambda *given, **more: read.append(given) or keep(*given, **more)
    )
    users(engine, tmp_path, LATER, {"crm": "duckdb:/one"})
    assert read == []
    users(engine, tmp_path, LATER, {"crm": "duckdb:/other"})
    assert len(read) == 1


@pytest.mark.parametrize("name", ["t", "u", "row"])
def test_a_change_shows_beside_a_column_of_any_name(engine, tmp_path, name):
    def read(beside: int) -> None:
        for kind, key in (("users", "user_id"), ("items", "item_id")):
            path = tmp_path / f"{kind}.sql"
            path.write_text(f"select 'x' as {key}, 1 as \"{name}\", {beside} as beside")
            found.append(read_attributes(engine, kind, path, tmp_path, databases={}, now=LATER))

    found: list[str] = []
    read(1)
    engine.execute("create temp table touched_users (user_id varchar)")
    before = remember_attributes(engine)
    read(2)
    assert touch_changed_attributes(engine, before) == ("items changed",)
    assert engine.rows("from touched_users") == [("x",)]
    assert len(set(found[::2])) == len(set(found[1::2])) == 2
