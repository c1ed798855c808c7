"""Shows what encoders, forecasts, content and segments are worth: five seeds, plain baselines, a verdict on each goal.

    python benchmarks/evaluate.py                          # Online Retail, Complete Journey, Taobao, simulated shops
    python benchmarks/evaluate.py --only online_retail
    python benchmarks/evaluate.py --shop DIR [--shop DIR]  # projects of one's own, instead
    python benchmarks/evaluate.py --quick                  # two seeds, two shops
    python benchmarks/evaluate.py --inputs                 # also other choices of inputs, beside the default ones

Prints Markdown and writes results/evaluation.json. Every figure is the mean over seeds ± their standard deviation, with
the 90% interval of a bootstrap over users in brackets. A goal is met or not; it counts as MISSED where that interval of
the difference, paired by user, excludes it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from evaluation.evaluation import CHOICES, Effort, TooShort, evaluate
from evaluation.findings import ShopFindings, goals_markdown
from evaluation.shops import SHOPS, DataMissing
from threadpoolctl import threadpool_limits

from sqlseg.errors import SqlsegError

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "evaluation.json"
QUICK = ("online_retail", "synthetic_1")
MARK = "<!-- figures -->"
LIBRARIES = ("duckdb", "numpy", "scikit-learn", "scipy", "sqlglot")


def main() -> int:
    """Evaluate the shops that were asked for; exit 1 where one failed or none could be evaluated."""
    options = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="\n".join(__doc__.splitlines()[1:]),
        formatter_class=argparse.RawTextHelpFormatter,
    )
    options.add_argument("--shop", type=Path, action="append", default=[], help="a project of one's own; repeatable")
    options.add_argument("--only", action="append", choices=list(SHOPS), help="one of the known shops; repeatable")
    options.add_argument("--quick", action="store_true", help="two seeds, fewer resamples, two shops")
    options.add_argument("--inputs", action="store_true", help="also compare choices of inputs for new projects")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="shops at a time")
    options.add_argument("--json", type=Path, default=RESULT, help="where to write the figures")
    options.add_argument("--page", type=Path, help="a page whose part between <!-- figures --> marks gets the tables")
    given = options.parse_args()
    effort = Effort(2, 100, 4) if given.quick else Effort()
    names = given.only or (QUICK if given.quick else list(SHOPS))
    started, failed = time.perf_counter(), list[str]()
    with (
        tempfile.TemporaryDirectory(prefix="sqlseg-evaluation-") as folder,
        ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool,
    ):
        tried = [*given.shop] or names
        todo = {pool.submit(_one, one, Path(folder), effort, inputs=given.inputs): one for one in tried}
        found_of: dict[str | Path, ShopFindings] = {}
        for done in as_completed(todo):
            shop = todo[done]
            try:
                result = done.result()
            except Exception:  # noqa: BLE001  (one shop must not take the others' half hour with it)
                failed.append(str(shop))
                print(f"{shop} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
                continue
            told = f"{time.perf_counter() - started:.0f} s, {len(found_of) + 1} of {len(tried)} shops done"
            print(told, file=sys.stderr, flush=True)
            print(f"\n{result if isinstance(result, str) else result.markdown()}\n", flush=True)
            if not isinstance(result, str):
                found_of[shop] = result
    found = [found_of[shop] for shop in tried if shop in found_of]
    if not found:
        return 1
    goals = f"## Goals\n\n{goals_markdown(found)}"
    print(f"\n{goals}\n")
    _write(given.json, found, effort, round(time.perf_counter() - started))
    if given.page is not None:
        _put(given.page, "\n\n".join([goals, *(shop.markdown() for shop in found)]))
    if failed:
        print(f"Not evaluated: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _one(shop: str | Path, folder: Path, effort: Effort, *, inputs: bool) -> ShopFindings | str:
    """Return what was found on one shop, in a process of its own, or why it was left out."""
    warnings.filterwarnings("ignore", module="sklearn")
    if isinstance(shop, Path):
        name = title = shop.resolve().name
        directory = shop
    else:
        name, (title, make) = shop, SHOPS[shop]
        directory = folder / name
    try:
        if isinstance(shop, str):
            make(directory)
        # Sums in one order, and no threads that wait for each other.
        with threadpool_limits(1):
            return evaluate(
                name,
                title,
                directory,
                effort,
                folder / f"{name}-models",
                datetime.now(UTC).replace(tzinfo=None),
                funnels_only=shop == "taobao",
                choices=CHOICES if inputs else (),
            )
    except (DataMissing, SqlsegError, TooShort) as error:
        return f"## {title}\n\nLeft out: {error}"


def _put(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(f"{MARK}\n")
    _, _, after = rest.partition(f"{MARK}\n")
    page.write_text(f"{before}{MARK}\n\n{text}\n\n{MARK}\n{after}", encoding="utf-8", newline="\n")


def _write(path: Path, found: list[ShopFindings], effort: Effort, seconds: int) -> None:
    git = ("git", "-C", str(HERE), "rev-parse", "--short", "HEAD")
    written = {
        "measured_at": f"{datetime.now(UTC):%Y-%m-%d}",
        "seconds": seconds,
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "effort": vars(effort),
        "shops": [shop.plain() for shop in found],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
