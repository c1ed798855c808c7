"""What a terminal shows of a step that takes its time; a pipe gets nothing of it."""

import io
import re
from dataclasses import dataclass

import pytest

from sqlseg.cli import console
from sqlseg.workflow.narration import Clock
from sqlseg.workflow.time_left import Outlook


@dataclass
class Screen:
    """A terminal of some width, on which time passes when the test says so."""

    written: io.StringIO
    now: float = 0.0

    def looked_at(self, narrator, seconds):
        """What stands there so many seconds later."""
        self.now += seconds
        self.written.truncate(0)
        self.written.seek(0)
        narrator._shown.bar.refresh()
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.written.getvalue())


@pytest.fixture
def screen(monkeypatch):
    written = io.StringIO()
    shown = Screen(written)
    terminal = console.HarmlessConsole(file=written, force_terminal=True, width=80)
    monkeypatch.setattr(console, "stderr", terminal)
    monkeypatch.setattr(console, "system_clock", lambda: Clock(None, lambda: shown.now))
    return shown


def test_a_step_says_about_how_long_it_still_takes_and_leaves_nothing_behind(screen):
    narrator = console.Terminal()
    with narrator.step("Computing features and embeddings", Outlook(seconds=60.0)):
        line = screen.looked_at(narrator, 22.0)
        assert "Computing features and embeddings" in line and "about 40 s left" in line
        assert len(line.strip("\r\n")) <= 80 and "\n" not in line.strip()
        assert "about 8 s left" in screen.looked_at(narrator, 30.0)
        assert "left" not in screen.looked_at(narrator, 30.0), "it takes longer than it did before"
    assert narrator._shown is None


def test_a_step_of_which_nothing_is_known_says_nothing_of_its_end(screen):
    narrator = console.Terminal()
    with narrator.step("Publishing"):
        line = screen.looked_at(narrator, 100.0)
        assert "Publishing" in line and "left" not in line and "-:--" not in line
        narrator.progress(0, 4)
        assert "left" not in screen.looked_at(narrator, 50.0)
        narrator.progress(2, 4)
        assert "about 50 s left" in screen.looked_at(narrator, 0.0)


def test_a_pipe_gets_no_progress(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(console, "stderr", console.HarmlessConsole(file=written))
    narrator = console.Terminal()
    with narrator.step("Publishing", Outlook(seconds=5.0, statement=lambda: pytest.fail("nobody asks the database"))):
        narrator.progress(1, 2)
        narrator.note("Something to know.")
    assert written.getvalue() == "- Something to know.\n"
