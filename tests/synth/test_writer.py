"""Files of simulated events: their size, and what cannot be asked for."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sqlseg.synth import write_synthetic_events
from sqlseg.synth import writer as writing
from sqlseg.synth.writer import ImpossibleShop, UnwritableFile


@pytest.mark.parametrize(("users", "events"), [(1, 300), (40, 40), (300, 3_000), (50, 20_000), (2_000, 40_000)])
def test_numbers_are_met(tmp_path: Path, users: int, events: int) -> None:
    path = tmp_path / "events.parquet"
    summary = write_synthetic_events(path, users, events, seed=4)
    table = pq.read_table(path)
    assert abs(len(table) - events) <= 0.02 * events
    assert len(table["user_id"].unique()) == users
    assert summary.events == len(table)


def test_same_seed_same_file(tmp_path: Path) -> None:
    tables = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_synthetic_events(tmp_path / name, 100, 1_500, seed)
        tables.append(pq.read_table(tmp_path / name))
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_a_file_is_written_in_chunks_of_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_CHUNK_EVENTS", 2_000)
    write_synthetic_events(tmp_path / "events.parquet", 500, 10_000)
    table = pq.read_table(tmp_path / "events.parquet")
    assert pq.ParquetFile(tmp_path / "events.parquet").num_row_groups == 5
    assert len(table) == 10_000
    assert len(table["user_id"].unique()) == 500
    assert len(table["event_id"].unique()) == 10_000


@pytest.mark.parametrize(("users", "events"), [(0, 10), (10, 9), (-1, 5)])
def test_impossible_numbers_are_refused(tmp_path: Path, users: int, events: int) -> None:
    with pytest.raises(ImpossibleShop, match=f"{users} users and {events} events"):
        write_synthetic_events(tmp_path / "events.parquet", users, events)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnwritableFile, match="nowhere"):
        write_synthetic_events(tmp_path / "nowhere" / "events.parquet", 1, 10)
