"""Pages of either file that hold something else: told in a sentence, and made good."""

import random
from pathlib import Path

import pytest
from kill_points import assert_whole
from refresh_process import Stage, left_behind
from test_stopped_refresh import assert_explained

PAGE = 4096


def corrupt(file: Path, seed: int) -> str:
    """Overwrite between one and eight pages in part or whole; say which."""
    rng = random.Random(seed)
    content = bytearray(file.read_bytes())
    pages = sorted(rng.sample(range(len(content) // PAGE), rng.choice([1, 2, 8])))
    for page in pages:
        length = rng.choice([1, 64, PAGE])
        at = page * PAGE + rng.randrange(PAGE - length + 1)
        content[at : at + length] = rng.randbytes(length)
    file.chmod(0o644)
    file.write_bytes(content)
    return f"pages {pages} of {file.name}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_of_the_warehouse(seed: int, warm: Stage, tmp_path: Path) -> None:
    shop = warm.shop.copy(tmp_path / "shop")
    before = shop.published.read_bytes()
    told = corrupt(shop.warehouse, seed)
    run = shop.refresh()
    if run.returncode != 0:
        assert_explained(run, "refresh --rebuild")
        assert shop.published.read_bytes() == before, told
        again = shop.start("--rebuild").communicate(timeout=300)
        assert "Refreshed as of" in again[0], (told, again)
    assert_whole(shop.published)
    assert left_behind(shop) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 108))
def test_of_the_published_file(seed: int, warm: Stage, tmp_path: Path) -> None:
    shop = warm.shop.copy(tmp_path / "shop")
    told = corrupt(shop.published, seed)
    run = shop.refresh()
    assert run.returncode == 0, (told, run.stderr)
    assert_whole(shop.published)
    warm.assert_finished(shop)
