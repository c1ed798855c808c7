"""What all benchmarks share: the machine they ran on, a process of its own for each run, and where results are kept."""

import compileall
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
LIBRARIES = (
    *("duckdb", "numpy", "pandas", "polars", "pyarrow", "scikit-learn", "onnxruntime-gpu", "onnxruntime"),
    *("sqlglot", "torch"),
)


def machine(threads: int) -> dict[str, object]:
    """Describe what the figures were measured on."""

    def first_line(path: str, start: str) -> str:
        with Path(path).open(encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(start)), "unknown")

    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    linux = platform.system() == "Linux"
    try:
        git = ("git", "-C", str(HERE), "rev-parse", "--short", "HEAD")
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        commit = ""
    return {
        "cpu": first_line("/proc/cpuinfo", "model name") if linux else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory": first_line("/proc/meminfo", "MemTotal") if linux else "unknown",
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": versions,
        "commit": commit,
    }


def compile_sqlseg() -> None:
    """Compile sqlseg's modules, as pip does when it installs them: a checkout may be told to keep none compiled."""
    compileall.compile_dir(HERE.parent / "sqlseg", quiet=1)


@dataclass(frozen=True)
class ProcessRun:
    """One run of a program: seconds by the clock and by the processor, peak memory, and what it reported."""

    wall: float
    cpu: float
    peak_mb: float
    report: Mapping[str, object]


class ProgramFailed(Exception):
    """A program that was to be measured did not end well; its stderr is the message."""


def run_process(script: str, arguments: Iterable[object], report: Path, threads: int) -> ProcessRun:
    """Run a script of this folder in a process of its own; it writes JSON to `report`, with `peak_kb` in it.

    Raises ProgramFailed.
    """
    report.unlink(missing_ok=True)
    compile_sqlseg()
    command = [sys.executable, "-W", "ignore", str(HERE / script), *map(str, arguments)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stderr=subprocess.PIPE, text=True, check=False
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise ProgramFailed(f"{script} ended with {done.returncode}:\n{done.stderr[-2_000:]}")
    found = json.loads(report.read_text(encoding="utf-8"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ProcessRun(round(wall, 2), round(cpu, 2), round(found["peak_kb"] / 1024), found)


def keep_result(name: str, figures: Mapping[str, object], threads: int) -> Path:
    """Write results/<name>.json with the day, the machine and the commit; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    told = {"measured_at": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine(threads), **figures}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return path
