"""Views written into files, as a project has them, and a database that holds sqlseg's own relations."""

from pathlib import Path

import duckdb
import pytest

from sqlseg.features.registry import Registry
from sqlseg.features.view import Kind, View, parse_view


@pytest.fixture
def sql_root(tmp_path):
    """Return a function that writes view files: `sql_root({"features/rfm__v1.sql": "select ..."})`."""

    def write(files: dict[str, str], folder: str = "sql") -> Path:
        for name, text in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / folder

    return write


@pytest.fixture
def registry(sql_root):
    """Return a function that loads a registry from view files."""
    return lambda files: Registry.load([sql_root(files)])


@pytest.fixture(scope="session")
def view_of():
    """Return a function that makes a view from its text alone."""

    def parse(text: str, kind: Kind = "features", name: str = "rfm", version: int = 1) -> View:
        return parse_view(kind, Path(f"sql/{kind}/{name}__v{version}.sql"), text)

    return parse


@pytest.fixture
def warehouse():
    """A database with two buyers, one visitor, and an event that lies in the future of 2024-01-10."""
    with duckdb.connect() as connection:
        connection.execute("""
            create schema sqlseg; create schema features; create schema stats;
            create table sqlseg.events as
            select *, event_time as local_time, null::varchar as order_id, null::varchar as category,
                event_time::varchar as event_id
            from (values
                ('ann', timestamp '2024-01-01 10:00', 'purchase', 10.0, 2.0, 'cup'),
                ('ann', timestamp '2024-01-05 11:00', 'purchase', 5.0, null, 'pen'),
                ('bob', timestamp '2024-01-02 12:00', 'purchase', 3.0, 1.0, 'pen'),
                ('bob', timestamp '2024-02-01 12:00', 'purchase', 99.0, 1.0, 'pen'),
                ('eve', timestamp '2024-01-09 13:00', 'view', null, null, 'cup')
            ) as t(user_id, event_time, event_type, price, quantity, item_id);
            create table sqlseg.users as select 'ann' as user_id, 'GB' as country;
            create table sqlseg.items as select 'cup' as item_id, 'kitchen' as shelf;
            create table sqlseg.holidays as select date '2024-01-01' as date, 'New Year' as name;
            create table sqlseg.population as select unnest(['ann', 'bob', 'eve']) as user_id;
            create view features.rfm_v1 as
            select user_id, sum(price) as spend, count(*) as orders from sqlseg.events group by user_id;
            create table stats.category_price_v1 as select 'pen' as category, 2.0 as p50;
            create table stats.shop_scale_v1 as select 3.0 as p50;
        """)
        yield connection


class Reader:
    """The two methods of an engine that checks call."""

    def __init__(self, connection):
        self.connection = connection

    def rows(self, sql):
        return self.connection.execute(sql).fetchall()

    def describe(self, sql):
        return {row[0]: row[1] for row in self.rows(f"describe {sql}")}


@pytest.fixture
def engine(warehouse):
    """The warehouse as checks see it."""
    return Reader(warehouse)
