"""The memory that a process has needed at most; a module of its own, since what is measured imports it."""

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_kb() -> int:
    """Return the largest memory that this process has held so far, in kB.

    On Linux the usual figure (ru_maxrss) is at least what the process that started this one had held by then.
    """
    if not STATUS.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
