"""The reference pages say what the code says, and leave nothing out."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from sqlseg.cli.main import app
from sqlseg.features.registry import Registry
from sqlseg.names import PUBLISHED_TABLES, WAREHOUSE_TABLES
from sqlseg.resources import resource_root
from sqlseg.settings import ClusterSegmentation, RulesSegmentation, Settings, parse_settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def load_generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generate = load_generator()


@pytest.fixture(scope="module")
def pages():
    return generate.pages()


@pytest.mark.parametrize("name", ["commands", "settings", "tables", "features"])
def test_page_is_up_to_date(pages, name):
    path = DOCS / "reference" / f"{name}.md"
    written = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert written == pages[f"reference/{name}.md"], (
        f"{path} is not what the code says any more. Run `{generate.COMMAND}` and commit the page."
    )


def test_every_page_is_tested(pages):
    assert {f"reference/{path.name}" for path in (DOCS / "reference").glob("*.md")} == set(pages)


def test_every_command_and_option_is_on_its_page(pages):
    page = pages["reference/commands.md"]
    sections = {part.partition("`\n")[0]: part for part in page.split("\n## `")[1:]}
    found = list(generate.commands(app))
    assert ("segments", "explain") in [words for words, _ in found]
    for words, callback in found:
        section = sections[" ".join(["sqlseg", *words])]
        for parameter, info, _ in generate.parameters(callback):
            assert info.help, f"{words}: {parameter.name} has no help text"
            flags = generate.option_flags(info) if parameter.name not in ("project", "json") else []
            assert all(f"`{flag}" in section for flag in flags)
    assert len(sections) == len(found)


def test_every_key_of_the_settings_is_on_its_page_with_its_meaning():
    keys = {(section, key) for section, model in generate.sections() for key in model.model_fields}
    assert keys == set(generate.key_meanings()), (
        f"{generate.EXAMPLE.name} must say of every key, and of no other, what it means"
    )
    assert {section.partition(".")[0] for section, _ in keys} == set(Settings.model_fields)


def test_the_example_of_settings_is_valid(tmp_path):
    settings = parse_settings(generate.EXAMPLE.read_text(encoding="utf-8"), tmp_path, check_files=False)
    assert isinstance(settings.segmentations["behavior"], ClusterSegmentation)
    assert isinstance(settings.segmentations["value"], RulesSegmentation)
    assert settings.sources["crm"].path == str(tmp_path / "crm.duckdb")


def test_the_example_names_views_and_encoders_that_ship(tmp_path):
    settings = parse_settings(generate.EXAMPLE.read_text(encoding="utf-8"), tmp_path, check_files=False)
    views = {view.ref for view in Registry.load([resource_root("sql")]).all("features")}
    named = [one for one in settings.segmentations["behavior"].inputs if one.kind == "features"]
    assert {one.ref for one in (*named, *settings.features.publish)} <= views


def test_every_public_table_is_on_its_page(pages):
    for relation in (*PUBLISHED_TABLES, *WAREHOUSE_TABLES):
        if relation.schema != "sqlseg":
            assert f"# `{relation}`\n" in pages["reference/tables.md"]


def test_every_shipped_view_is_on_its_page(pages):
    page = pages["reference/features.md"]
    for view in Registry.load([resource_root("sql")]).views:
        assert f"# `{view.relation if view.kind == 'statistics' else view.ref}`\n" in page
        assert all(f"| `{column.name}` |" in page for column in view.values)


def test_links_lead_somewhere():
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", target):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
