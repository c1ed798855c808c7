"""What sqlseg installs is bounded, and what it is developed with is locked by version and hash."""

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = ROOT / "requirements" / "dev.lock"

pytestmark = pytest.mark.skipif(find_spec("packaging") is None, reason="the package packaging is not installed")


def requirements():
    from packaging.requirements import Requirement

    extras = PROJECT["project"]["optional-dependencies"]
    listed = [
        *PROJECT["build-system"]["requires"],
        *PROJECT["project"]["dependencies"],
        *(one for extra in extras.values() for one in extra),
    ]
    return [one for one in map(Requirement, listed) if one.name != "sqlseg"]


def locked():
    """Return every version that the lock has of a package, by name: one, or some for different platforms."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name.lower(), set()).add(version)
    return found


def test_every_dependency_has_an_upper_bound():
    unbounded = [
        str(one)
        for one in requirements()
        if not any(part.operator in ("<", "<=", "==", "~=") for part in one.specifier)
    ]
    assert not unbounded


def test_the_lock_holds_what_the_project_asks_for():
    """A dependency that was added or moved wants `make lock`."""
    versions = locked()
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = {one.split("=")[0].split(">")[0].split("[")[0].strip() for one in extras["dev"]} - {"sqlseg"}
    wanted |= {one.name for one in requirements() if one.name in ("duckdb", "numpy", "pyarrow", "pydantic", "sqlglot")}
    assert wanted <= versions.keys()
    for one in requirements():
        for version in versions.get(one.name, ()):
            assert one.specifier.contains(version, prereleases=True), f"{one} against {version}: run `make lock`"


def test_every_locked_file_has_a_hash_and_no_address():
    text = LOCK.read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9._-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text and "--index" not in text and "--find-links" not in text
