"""The shop that faults happen to: new, and refreshed once."""

import os
from collections.abc import Callable
from datetime import datetime

import duckdb
import pytest
from refresh_process import Shop, Stage, undisturbed

from sqlseg.synth.writer import write_synthetic_events


@pytest.fixture(scope="session")
def new_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """300 users and the first nine tenths of their 6,000 events; never refreshed. The rest lies aside."""
    directory = tmp_path_factory.mktemp("new") / "shop"
    (directory / "data").mkdir(parents=True)
    everything = tmp_path_factory.mktemp("events") / "events.parquet"
    write_synthetic_events(everything, 300, 6000, 0)
    with duckdb.connect() as connection:
        (cut,) = connection.execute(f"select quantile_disc(event_time, 0.9) from '{everything}'").fetchone() or ()
        assert isinstance(cut, datetime)
        for name, side in (("data/earlier.parquet", "<"), ("later.parquet", ">=")):
            connection.execute(
                f"copy (select * from '{everything}' where event_time {side} '{cut}') to '{directory / name}'"
            )
    (directory / "sqlseg.toml").write_text(
        """
        [project]
        name = "shop"

        [warehouse]
        published = "published/shop.duckdb"
        threads = 1

        [segmentations.behavior]
        kind = "cluster"
        inputs = ["rfm@1", "encoder:behavior@1"]
        k = 4

        [segmentations.value]
        kind = "rules"
        sql = "sql/segments/value.sql"

        [encoders.behavior]
        device = "cpu"
        """,
        "utf-8",
    )
    (directory / "sql" / "segments").mkdir(parents=True)
    (directory / "sql" / "events.sql").write_text(
        "select * exclude (true_group) from read_parquet('data/*.parquet')", "utf-8"
    )
    (directory / "sql" / "segments" / "value.sql").write_text(
        "select user_id, case when spend > 100 then 'High' else 'Low' end as segment_name from features.rfm_v1", "utf-8"
    )
    return Shop(directory)


@pytest.fixture(scope="session")
def cold(new_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Before the first refresh."""
    return undisturbed(new_shop, tmp_path_factory.mktemp("cold") / "shop")


@pytest.fixture(scope="session")
def warm(new_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Refreshed once and published; new events have come in."""
    shop = new_shop.copy(tmp_path_factory.mktemp("refreshed") / "shop")
    shop.refresh_here()
    shop.add_events()
    return undisturbed(shop, tmp_path_factory.mktemp("warm") / "shop")


@pytest.fixture
def without_override() -> Callable[[], None] | None:
    """Before a process starts: give up root's right to write where permissions forbid it."""
    if os.geteuid() != 0:
        return None
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    drop_from_bounding_set, override_permissions = 24, 1

    def give_up() -> None:
        if libc.prctl(drop_from_bounding_set, override_permissions, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")

    return give_up
