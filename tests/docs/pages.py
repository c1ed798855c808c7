"""Reads the fenced blocks of a page and runs them, in order, in one folder.

A comment above a block says what to do with it:

- `<!-- skip: reason -->` leaves it out,
- `<!-- file: sql/features/x__v1.sql -->` writes it to that file of the project,
- `<!-- setting: inputs -->` puts it in the place of the line of sqlseg.toml that sets this key; of inputs, the weights
  of those before are taken out,
- `<!-- with: module -->` and `<!-- setting-with: module key -->` leave it out where that Python module is missing, and
  say so in `left_out`,
- `<!-- refused: words -->` holds a feature view that must be refused with these words.

Other ```sh blocks are run, and ```sql blocks are asked of the published file.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest

from sqlseg.cli.main import main
from sqlseg.features.locality import locality_problems
from sqlseg.features.view import parse_view

NOT_RUN = (
    "git ",
    "pip ",
    "python -m pip ",
    "python -m venv ",
    "python3 -m venv ",
    "source ",
    ". ",
    "cd sqlseg",
    "make ",
)
"""How commands begin that set up a machine."""

_BLOCK = re.compile(
    r"(?:^<!-- (?P<do>skip|file|setting-with|setting|refused|with): (?P<with>.+?) -->\n\n?)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_OF_DEMO = re.compile(r"\b(sqlseg|make) demo\b|(--project|-p) demo\b|\bdemo/")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language and text, and what its comment says (`do`, and with what)."""

    where: str
    language: str
    text: str
    do: str | None = None
    argument: str = ""

    @property
    def of_demo(self) -> bool:
        """Whether it makes or needs the demo's project."""
        return self.language == "sh" and bool(_OF_DEMO.search(self.text))

    def commands(self) -> list[str]:
        """Return the commands of a ```sh block that are run: no comments, and nothing that sets up a machine."""
        lines = [re.sub(r"\s+#\s.*$", "", line).strip() for line in self.text.replace("\\\n", " ").splitlines()]
        lines = [re.sub(r"^make demo$", "sqlseg demo demo", line) for line in lines]
        return [line for line in lines if line and not line.startswith(("#", *NOT_RUN))]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}",
            found["language"],
            found["text"],
            found["do"],
            found["with"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


@dataclass
class Reader:
    """Somebody who follows a page: where they are, and what words like USER_ID stand for with them."""

    folder: Path
    words: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    left_out: set[str] = field(default_factory=set)

    def follow(self, page: Path, *, demo: bool = False) -> None:
        """Do what a page says; with `demo` the blocks on the demo's project only, without it all others."""
        for block in blocks(page):
            if block.of_demo == demo and block.do != "skip":
                self._do(block)

    def _do(self, block: Block) -> None:
        if block.do in ("with", "setting-with"):
            module, _, key = block.argument.partition(" ")
            if find_spec(module) is None:
                self.left_out.add(module)
                return
            block = replace(block, do=None if block.do == "with" else "setting", argument=key)
        if block.do == "file":
            path = self.folder / block.argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.do == "setting":
            file = self.folder / "sqlseg.toml"
            text, count = re.subn(rf"(?m)^{block.argument} = .*$", block.text.strip(), file.read_text(encoding="utf-8"))
            assert count == 1, f"{block.where}: sqlseg.toml sets {block.argument} {count} times"
            if block.argument == "inputs":
                text = re.sub(r"(?m)^weights = .*\n", "", text)
            file.write_text(text, encoding="utf-8")
        elif block.do == "refused":
            view = parse_view("features", Path("sql/features/example__v1.sql"), block.text)
            told = [problem.message for problem in locality_problems("features", view.tree)]
            assert any(block.argument in message for message in told), f"{block.where}: {told}"
        elif block.language == "sh":
            for command in block.commands():
                self.run(command, block.where)
        elif block.language == "sql":
            self.query(block.text, block.where)

    def run(self, command: str, where: str) -> None:
        """Run one command here; `sqlseg` in this process, which saves starting it each time."""
        for word, meaning in self.words.items():
            command = command.replace(word, meaning)
        words = shlex.split(command)
        if words[0] == "cd":
            self.folder = (self.folder / words[1]).resolve()
            assert self.folder.is_dir(), f"{where}: there is no folder {self.folder}"
        elif words[0] == "sqlseg" and not {"|", ">", ">>", "&&", ";"} & set(words):
            code, out, err = self._sqlseg(words[1:])
            assert code == 0, f"{where}: {command} exits with {code}\n{out}{err}"
            self.printed += out
        else:
            command = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", command)
            done = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{where}: {command} exits with {done.returncode}\n{done.stdout}{done.stderr}"
            self.printed += done.stdout

    def _sqlseg(self, arguments: list[str]) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            patch.object(sys, "argv", ["sqlseg", *arguments]),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
        return code, out.getvalue(), err.getvalue()

    def query(self, sql: str, where: str) -> list[tuple]:
        """Ask the published file of the project here, as any client would."""
        published = sorted(self.folder.glob("published/*.duckdb"))
        assert len(published) == 1, f"{where}: a query before anything is published in {self.folder}"
        with duckdb.connect(os.fspath(published[0]), read_only=True) as con:
            try:
                return con.execute(sql).fetchall()
            except duckdb.Error as error:
                pytest.fail(f"{where}: {error}")
