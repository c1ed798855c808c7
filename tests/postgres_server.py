"""A PostgreSQL server of a test's own, where the machine has one installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Postgres:
    """A server that is reached through a socket in its folder, as the user `shop`."""

    folder: str
    programs: Path
    user: str | None

    def run(self, program: str, *arguments: str, text: str | None = None) -> str:
        """Run one of its programs; return what it writes."""
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            input=text,
            capture_output=program != "pg_ctl",  # the server would inherit the pipe and hold it open
            text=True,
            user=self.user,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def sql(self, text: str) -> str:
        """Run statements; return what they write."""
        return self.run("psql", "-h", self.folder, "-U", "shop", "-d", "postgres", "-qv", "ON_ERROR_STOP=1", text=text)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start a server for as long as the block runs; the test is skipped where there is none to start."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -float(folder.parent.name))
    programs = next((place for place in places if (place / "pg_ctl").exists()), None)
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (initdb, pg_ctl)")
    user = None
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # the server refuses to run as root
        import pwd

        user = next((entry.pw_name for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user here")
    folder = tempfile.mkdtemp(prefix="sqlseg_pg")  # pytest's own folders are too long for a socket
    if user is not None:
        shutil.chown(folder, user)
    server = Postgres(folder, programs, user)
    server.run("initdb", "-D", f"{folder}/data", "-U", "shop", "-A", "trust", "-E", "UTF8", "--no-sync")
    server.run(
        *("pg_ctl", "-D", f"{folder}/data", "-w", "-s", "-l", f"{folder}/log"),
        *("-o", f"-c listen_addresses='' -k {folder} -F", "start"),
    )
    try:
        yield server
    finally:
        server.run("pg_ctl", "-D", f"{folder}/data", "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(folder)
