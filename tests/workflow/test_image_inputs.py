"""Images of items as inputs of segmentations, through an image encoder."""

import shutil
from unittest.mock import patch

import numpy as np
import pytest
from pictures import BLUE, RED, network, picture, worked_out, write_encoder
from shops import RULES, bought, new_shop, viewed

from sqlseg.encoders import content_manifest

pytest.importorskip("PIL", reason="needs the extra: pip install 'sqlseg[image]'")
pytest.importorskip("onnx")

CONTENT = '[content]\nimage_encoder = "looks@1"\n'
TASTE = '[segmentations.taste]\nkind = "cluster"\ninputs = ["content:images@1"]\nk = 2\n'
IMAGES = CONTENT + TASTE
SHADES = {f"{name}{n}": (r, g, b + n * 3) for name, (r, g, b) in (("red", RED), ("blue", BLUE)) for n in range(4)}
EVENTS = [bought(f"{name} fan", f"2024-03-0{n % 4 + 1} 10:00", 5.0, item_id=name) for n, name in enumerate(SHADES)]
EVENTS += [bought("nobody", "2024-03-05 10:00", 5.0, item_id="plain")]


def items(shop, **paths):
    paths = {name: f"photos/{name}.png" for name in SHADES} | paths
    values = ", ".join(f"('{item}', '{path}')" for item, path in paths.items())
    shop.write("sql/items.sql", f"select * from (values {values}, ('plain', null)) as items(item_id, image_path)")


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    shop = new_shop(tmp_path_factory.mktemp("images") / "shop", EVENTS, RULES + IMAGES)
    write_encoder(shop.directory / "onnx_models")
    (shop.directory / "photos").mkdir()
    for name, colour in SHADES.items():
        (shop.directory / "photos" / f"{name}.png").write_bytes(picture(colour))
    items(shop)
    shop.refresh()
    assert not [note for note in shop.notes if "image" in note]
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def segments(shop):
    return dict(shop.rows("select user_id, segment_id from segments.membership where segmentation = 'taste'"))


def cache(shop):
    return dict(shop.rows("select image_hash, embedded_at from embeddings.image_looks_v1"))


def test_users_come_together_by_how_what_they_buy_looks(shop):
    found = segments(shop)
    assert len({found[f"red{n} fan"] for n in range(4)}) == len({found[f"blue{n} fan"] for n in range(4)}) == 1
    assert found["red0 fan"] != found["blue0 fan"] and "nobody" in found
    assert shop.rows("select distinct provider from segments.run") == [("CPUExecutionProvider",)]
    published = shop.published("select table_name from duckdb_tables()")
    assert not {("image_looks_v1",), ("image_file",), ("content_images_v1",)} & set(published)
    assert "content:images@1" in shop.sqlseg("segments", "explain", "red1 fan").out
    assert shop.refresh().plan.kind == "noop"


def test_content_counts_and_not_its_path(shop):
    before = cache(shop)
    assert len(before) == 8
    shutil.move(shop.directory / "photos" / "red0.png", shop.directory / "moved.png")
    items(shop, red0="moved.png", twin="photos/red1.png")
    shop.refresh()
    assert cache(shop) == before, "the same contents under other names"
    (shop.directory / "moved.png").write_bytes(picture(BLUE, size=(3, 3)))
    assert shop.refresh().plan.kind != "noop"
    after = cache(shop)
    assert len(after) == 8 and len(before.items() & after.items()) == 7, "one is new, and one forgotten"
    assert segments(shop)["red0 fan"] == segments(shop)["blue0 fan"]


def test_a_user_is_the_weighted_mean_of_the_images(shop):
    from sqlseg.workflow.images import read_images
    from sqlseg.workflow.project import open_project
    from sqlseg.workflow.warehouse import open_warehouse

    looks = [
        viewed("looker", "2024-03-05 10:00", item_id="red0"),
        viewed("looker", "2024-03-05 11:00", item_id="blue0"),
    ]
    both = [
        bought("both", f"2024-03-0{n} 10:00", 5.0, item_id=item) for n, item in enumerate(["red0", "red0", "blue0"], 1)
    ]
    shop.events(*EVENTS, *both, viewed("both", "2024-03-04 10:00", item_id="blue1"), *looks)
    shop.refresh()
    project = open_project(shop.directory)
    with open_warehouse(project) as engine:
        view = project.registry.view("contents", "images@1")
        block = read_images(engine, "content:images@1", view, project.image_encoder)
        users = [row[0] for row in engine.rows("select user_id from sqlseg.population order by 1")]
    red, blue = (worked_out(colour, network()[1]) for colour in (RED, BLUE))
    np.testing.assert_allclose(block.values[users.index("both")], (2 * red + blue) / 3, atol=1e-5)
    np.testing.assert_allclose(block.values[users.index("looker")], (red + blue) / 2, atol=1e-5)
    assert np.isnan(block.values[users.index("nobody")]).all()


def test_files_that_cannot_be_used_are_counted_and_told(shop):
    photos = shop.directory / "photos"
    (photos / "red0.png").unlink()
    (photos / "red1.png").write_bytes(b"no image")
    (photos / "red2.png").write_bytes(picture(RED)[:50])
    items(shop, blue0="photos", blue1="https://example.com/blue.png")
    told = shop.sqlseg("refresh")
    assert told.code == 0
    assert (
        "Of 8 images of items 3 cannot be opened (such as 'https://example.com/blue.png') and 2 cannot be read as an "
        "image (such as 'photos/red1.png'); they are left out of users' means." in " ".join(told.err.split())
    )
    assert len(cache(shop)) == 3
    for name in SHADES:
        (photos / f"{name}.png").unlink(missing_ok=True)
    told = shop.sqlseg("refresh")
    assert told.code == 1
    assert "None of the 8 images of the items that users buy can be used: 8 cannot be opened" in " ".join(
        told.err.split()
    )
    assert str(shop.directory) in "".join(told.err.split())


def test_what_is_missing_is_named_with_its_line(shop):
    shop.write("sql/items.sql", "select 'red0' as item_id")
    told = " ".join(shop.sqlseg("refresh").err.split())
    assert "content:images@1 needs the column image_path of the items" in told and "sql/items.sql" in told
    items(shop)
    with patch.object(content_manifest, "find_spec", lambda name: None):
        told = shop.sqlseg("refresh")
    assert told.code == 1 and "pip install 'sqlseg[image]'" in told.err and "looks@1" in told.err
    shop.settings(RULES + IMAGES.replace("looks@1", "views@1"))
    told = shop.sqlseg("refresh")
    assert told.code == 1 and "content.image_encoder" in told.err and "views@1" in told.err
    shop.settings(RULES + TASTE)
    told = shop.sqlseg("refresh")
    assert (
        told.code == 1
        and "content.image_encoder" in told.err
        and "no image encoder ships" in " ".join(told.err.split())
    )


def test_without_images_among_the_inputs_nothing_of_them_is_left(shop):
    shop.settings(RULES + IMAGES.replace("content:images@1", "rfm@1"))
    shop.refresh()
    names = "('image_looks_v1', 'image_file', 'content_images_v1')"
    assert shop.rows(f"select count(*) from duckdb_tables() where table_name in {names}") == [(0,)]
