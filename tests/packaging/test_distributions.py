"""What is built from a checkout holds everything, and works where there is no checkout."""

import json
import zipfile
from pathlib import Path

import pytest
from built_packages import CHECKOUT, Environment, build_sdist, copy_of_checkout, install, shipped_files

from sqlseg import __version__

TOP_LEVEL = {
    *("sqlseg", "sql", "onnx_models", "requirements", "tests", "benchmarks", "docs"),
    *(
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "NOTICE",
        "Makefile",
        "pyproject.toml",
        "PKG-INFO",
        ".gitignore",
    ),
}


def check_it_works(environment: Environment, elsewhere: Path) -> None:
    """Encoders answer as published, and a project is made and refreshed, by what lies in the package."""
    packages = next(environment.directory.glob("lib/python*/site-packages"))
    elsewhere.mkdir()

    def sqlseg(*arguments: str) -> str:
        return environment.sqlseg(*arguments, cwd=elsewhere)

    assert sqlseg("--version") == f"sqlseg {__version__}\n"
    bundled = packages / "sqlseg" / "_bundled" / "onnx_models"
    listed = {one["folder"] for one in json.loads(sqlseg("encoders", "list", "--json"))}
    shipped = {str(bundled / f"behavior_v{k}") for k in (1, 2, 3)}
    assert listed == {str(folder) for folder in bundled.iterdir()} >= shipped
    assert all(one["passed"] for one in json.loads(sqlseg("encoders", "verify", "--device", "cpu", "--json")))
    sqlseg("synth", "events.parquet", "--users", "60", "--events", "900")
    sqlseg("init", "shop", "--events", "events.parquet")
    outcome = json.loads(sqlseg("refresh", "--project", "shop", "--json"))
    assert (outcome["kind"], outcome["users_total"], outcome["users_embedded"]) == ("cold", 60, 60)
    query = "select count(*) as users from segments.membership where segmentation = 'behavior'"
    assert json.loads(sqlseg("query", query, "--project", "shop", "--json")) == [{"users": 60}]


def test_the_source_distribution_holds_every_shipped_file(sdist: Path) -> None:
    assert shipped_files(sdist) == shipped_files(CHECKOUT)


def test_the_source_distribution_holds_nothing_else(sdist: Path) -> None:
    assert {path.name for path in sdist.iterdir()} <= TOP_LEVEL
    assert not [path for path in sdist.rglob("*") if path.suffix in {".duckdb", ".wal", ".pyc", ".so"}]


def test_the_wheel_holds_every_shipped_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        bundled = {
            name.removeprefix("sqlseg/_bundled/"): packed.read(name)
            for name in packed.namelist()
            if name.startswith("sqlseg/_bundled/")
        }
        names = packed.namelist()
    assert bundled == shipped_files(CHECKOUT)
    assert "sqlseg/py.typed" in names
    assert {f"sqlseg-{__version__}.dist-info/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= set(names)
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "sqlseg").rglob("*.py")}
    assert {name for name in names if name.endswith(".py") and "/_bundled/" not in name} == modules
    assert {name.split("/")[0] for name in names} == {"sqlseg", f"sqlseg-{__version__}.dist-info"}


def test_every_model_that_a_manifest_names_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        manifests = [name for name in packed.namelist() if name.endswith("/manifest.json")]
        assert manifests
        for name in manifests:
            manifest = json.loads(packed.read(name))
            files = [manifest.get("tokenizer")] if manifest.get("package") else [manifest["model"]]
            files += [manifest["forecasts"]["model"]] if "forecasts" in manifest else []
            for file in files:
                assert packed.getinfo(f"{name.rpartition('/')[0]}/{file}").file_size > 0


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    check_it_works(install(wheel, tmp_path), tmp_path / "elsewhere")


@pytest.mark.slow
def test_a_checkout_can_be_installed_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    checkout = copy_of_checkout(tmp_path / "checkout")
    check_it_works(install(checkout, tmp_path), tmp_path / "elsewhere")


@pytest.mark.slow
def test_a_model_that_git_ignores_would_be_missed(tmp_path: Path) -> None:
    """The builder leaves out what .gitignore names, silently; the comparison with the disk must see that."""
    pytest.importorskip("hatchling")
    pytest.importorskip("build")
    checkout = copy_of_checkout(tmp_path / "checkout")
    with (checkout / ".gitignore").open("a", encoding="utf-8") as ignored:
        ignored.write("*.onnx\n")
    (tmp_path / "built").mkdir()
    there = shipped_files(checkout).keys()
    missing = there - shipped_files(build_sdist(checkout, tmp_path / "built")).keys()
    assert missing == {path for path in there if path.endswith(".onnx")} != set()
