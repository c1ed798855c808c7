"""Builds packages from a checkout, and environments to install them into."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end and return its output; fail with what it said where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    run = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
    return run.stdout


def shipped_files(root: Path) -> dict[str, bytes]:
    """Every file under sql/ and onnx_models/ that is there on disk, whatever git thinks of it."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for kind in ("sql", "onnx_models")
        for path in sorted((root / kind).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def copy_of_checkout(directory: Path) -> Path:
    """Copy what a checkout holds, without what running and building leave in it."""
    left_by_work = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "dist", "build", "demo")

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {"__pycache__"} | (set(left_by_work(folder, names)) if Path(folder) == CHECKOUT else set())

    shutil.copytree(CHECKOUT, directory, ignore=ignored)
    return directory


def build_sdist(checkout: Path, place: Path) -> Path:
    """Build the source distribution; return the folder that it unpacks to."""
    call(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", place, checkout, cwd=place)
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    return place / archive.name.removesuffix(".tar.gz")


def build_wheel(source: Path, place: Path) -> Path:
    """Build the wheel from an unpacked source distribution."""
    call(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", place, source, cwd=place)
    (wheel,) = place.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class Environment:
    """A virtual environment that has the libraries of this one, but its own sqlseg."""

    directory: Path

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    def sqlseg(self, *arguments: str, cwd: Path) -> str:
        return call(self.directory / "bin" / "sqlseg", *arguments, cwd=cwd)


def install(what: Path, place: Path) -> Environment:
    """Install a wheel or a folder into an environment of its own, without the network."""
    environment = Environment(place / "environment")
    call(sys.executable, "-m", "venv", "--without-pip", environment.directory, cwd=place)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment.directory / "lib" / version / "site-packages"
    # The .pth files of a folder that a .pth file names are left unread, so that an editable sqlseg stays out of sight.
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", "utf-8")
    call(
        *(sys.executable, "-m", "pip", "--python", environment.python, "install", "--quiet", "--no-deps"),
        *("--no-index", "--no-build-isolation", "--disable-pip-version-check", what),
        cwd=place,
    )
    return environment
