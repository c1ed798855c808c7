"""The copy of the published file that is made ahead of the next refresh."""

import os

import pytest

from sqlseg.publish.spare import discard_spare, prepare_spare, spare_file, take_copy


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "shop.duckdb"
    path.write_bytes(b"what is published")
    path.chmod(0o444)
    return path


def test_the_spare_copy_is_taken_once_and_then_the_file_is_copied(published, tmp_path):
    prepare_spare(published)
    spare = spare_file(published)
    number = spare.stat().st_ino
    take_copy(published, tmp_path / "one")
    assert (tmp_path / "one").stat().st_ino == number and not spare.exists(), "it was moved, not copied"
    take_copy(published, tmp_path / "two")
    for copy in ("one", "two"):
        assert (tmp_path / copy).read_bytes() == b"what is published"
        assert os.access(tmp_path / copy, os.W_OK)


def test_the_spare_copy_of_another_file_is_thrown_away(published, tmp_path):
    prepare_spare(published)
    newer = tmp_path / "newer"
    newer.write_bytes(b"published since..")
    newer.replace(published)
    take_copy(published, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"published since.."
    assert not spare_file(published).exists()


def test_nothing_is_left_of_a_spare_copy_that_could_not_be_made(published, tmp_path):
    published.unlink()
    with pytest.raises(OSError):
        prepare_spare(published)
    discard_spare(published)
    assert list(tmp_path.iterdir()) == []
