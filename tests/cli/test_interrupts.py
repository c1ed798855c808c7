"""A Ctrl-C waits for the end of an import: within one it can be lost, and leave every other import waiting for good."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqlseg.cli import interrupts
from sqlseg.cli.interrupts import interrupt, interrupted, interrupts_between_imports

PROGRAM = """
import signal, sys, time
sys.path.insert(0, {folder!r})
signal.signal(signal.SIGINT, signal.default_int_handler)
from sqlseg.cli.interrupts import interrupts_between_imports
try:
    with interrupts_between_imports():
        import interrupted
        time.sleep(30)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_a_ctrl_c_during_an_import_comes_after_it(tmp_path: Path) -> None:
    module = "import signal\nsignal.raise_signal(signal.SIGINT)\nprint('imported', flush=True)\n"
    (tmp_path / "interrupted.py").write_text(module)
    program = PROGRAM.format(folder=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == ["imported", "stopped"]


BEGINNING = """
import signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from sqlseg.cli.interrupts import interrupts_between_imports
signal.signal(signal.SIGINT, signal.default_int_handler)
waited = threading.Event.wait
def wait(event, timeout=None):
    threading.Event.wait = waited
    signal.raise_signal(signal.SIGINT)
    return waited(event, timeout)
pool = ThreadPoolExecutor(1)
try:
    with interrupts_between_imports():
        threading.Event.wait = wait
        pool.submit(print, "worked on", flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    print("stopped", len(pool._threads), flush=True)
"""


def test_a_ctrl_c_while_a_pool_begins_a_thread_comes_once_the_pool_knows_it() -> None:
    run = subprocess.run([sys.executable, "-c", BEGINNING], capture_output=True, text=True, timeout=20)
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(run.stdout.splitlines()) == ["stopped 1", "worked on"]


@pytest.fixture(autouse=True)
def unknown_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process know nothing of these interrupts."""
    monkeypatch.setattr(interrupts, "_raised", [])


@pytest.fixture
def heard() -> Iterator[None]:
    """A process that was started in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_elsewhere_it_comes_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_between_imports():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_ignores_a_ctrl_c_goes_on_to_ignore_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_between_imports():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_handler_raises_where_nothing_is_imported() -> None:
    assert not interrupted()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, sys._getframe())
    assert interrupted()
