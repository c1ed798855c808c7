"""A Ctrl-C waits for the end of an import: within one it can be lost, and leave every other import waiting for good."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqlseg.cli.interrupts import interrupt, interrupts_between_imports

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
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, sys._getframe())
