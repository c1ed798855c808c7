"""The copy of the published file that is made ahead of the next refresh."""

import os
import shutil
from unittest.mock import patch

import duckdb
import pytest

from sqlseg.engine.duckdb import Engine
from sqlseg.names import RUN, Relation
from sqlseg.publish import spare
from sqlseg.publish.snapshot import PublishedRelation, publish_snapshot
from sqlseg.publish.spare import CopyBeside, NotWhole, discard_spare, prepare_spare, spare_file, take_copy


@pytest.fixture
def published(tmp_path):
    with Engine.open(None, threads=1) as engine:
        engine.execute(
            "create table runs as "
            "select 'r1' as run_id, 'done' as status, 'cold' as kind, null::varchar as content_hash; "
            "create table sizes as select range::varchar as user_id, range as n from range(100000)"
        )
        relations = [PublishedRelation(RUN, "runs"), PublishedRelation(Relation("segments", "size"), "sizes")]
        publish_snapshot(engine, tmp_path / "shop.duckdb", relations, "r1")
    return tmp_path / "shop.duckdb"


def test_the_spare_copy_is_taken_once_and_then_the_file_is_copied(published, tmp_path):
    prepare_spare(published)
    spare = spare_file(published)
    number = spare.stat().st_ino
    assert take_copy(published, tmp_path / "one"), "it was read and found whole"
    assert (tmp_path / "one").stat().st_ino == number and not spare.exists(), "it was moved, not copied"
    assert not take_copy(published, tmp_path / "two"), "nobody has read it"
    for copy in ("one", "two"):
        assert (tmp_path / copy).read_bytes() == published.read_bytes()
        assert os.access(tmp_path / copy, os.W_OK)


def test_the_spare_copy_of_another_file_is_thrown_away(published, tmp_path):
    prepare_spare(published)
    newer = tmp_path / "newer"
    newer.write_bytes(b"published since..")
    newer.replace(published)
    assert not take_copy(published, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"published since.."
    assert not spare_file(published).exists()


def test_nothing_is_left_of_a_spare_copy_that_could_not_be_made(published, tmp_path):
    published.unlink()
    with pytest.raises(OSError):
        prepare_spare(published)
    discard_spare(published)
    assert list(tmp_path.iterdir()) == []


def overwrite_page(path):
    """Change a block in the middle of the file, which DuckDB knows by its checksum."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"not what was written")


def change_a_row(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("update segments.size set n = n + 1 where user_id = '77'")


def cut_off(path):
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.parametrize("damage", [overwrite_page, change_a_row, cut_off])
def test_no_spare_copy_is_kept_of_a_file_that_is_not_what_was_published(published, tmp_path, damage):
    published.chmod(0o644)
    damage(published)
    with pytest.raises(NotWhole, match="does not hold what was published"):
        prepare_spare(published)
    assert list(tmp_path.iterdir()) == [published]


def test_a_copy_made_beside_other_work_is_taken_and_counts_as_read_by_nobody(published, tmp_path):
    with CopyBeside(published) as beside, patch.object(shutil, "copyfile", wraps=shutil.copyfile) as copied:
        beside.begin()
        beside.begin()
        beside.wait()
        assert not take_copy(published, tmp_path / "one")
        assert copied.call_count == 1
        assert (tmp_path / "one").read_bytes() == published.read_bytes()
        assert os.access(tmp_path / "one", os.W_OK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "shop.duckdb"]


def test_nothing_is_left_of_a_copy_that_nobody_took_nor_of_one_that_was_broken_off(published, tmp_path):
    (tmp_path / ".shop.duckdb.copy").write_bytes(b"of a refresh that was killed")
    (tmp_path / ".shop.duckdb.copy.making").write_bytes(b"half of it")
    with CopyBeside(published):
        pass
    assert list(tmp_path.iterdir()) == [published]
    with pytest.raises(ZeroDivisionError), CopyBeside(published) as beside:
        beside.begin()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [published]


def test_a_copy_of_a_file_that_was_replaced_since_is_not_taken(published, tmp_path):
    with CopyBeside(published) as beside:
        beside.begin()
        beside.wait()
        (tmp_path / "newer").write_bytes(b"published since..")
        (tmp_path / "newer").replace(published)
        assert not take_copy(published, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"published since.."


def test_no_copy_is_made_beside_a_spare_one_nor_on_a_disk_that_is_nearly_full(published):
    usage = shutil.disk_usage(published.parent)._replace(free=3 * published.stat().st_size)
    with patch.object(shutil, "copyfile", side_effect=AssertionError), CopyBeside(published) as beside:
        with patch.object(spare.shutil, "disk_usage", return_value=usage):
            beside.begin()
        beside.wait()
    prepare_spare(published)
    with patch.object(shutil, "copyfile", side_effect=AssertionError), CopyBeside(published) as beside:
        beside.begin()
        beside.wait()
    assert spare_file(published).exists(), "it is not this one's to remove"


def test_a_copy_that_fails_costs_nothing_but_time(published, tmp_path):
    with CopyBeside(published) as beside:
        with patch.object(os, "fsync", side_effect=OSError("the disk is full")):
            beside.begin()
            beside.wait()
        assert list(tmp_path.iterdir()) == [published]
        assert not take_copy(published, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == published.read_bytes()
