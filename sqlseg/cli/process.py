"""A process of sqlseg's own: what its start and its end need not spend."""

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_OBJECTS_BETWEEN = 50_000
"""Objects that are made before garbage is looked for: some 10 MB, in place of what the usual 700 take."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Look for no garbage while the block imports what stays, nor later among what it has imported, and seldom at all.

    The interpreter would look through all that is there again and again while it grows, for a fifth of a second.
    """
    atexit.register(gc.unfreeze)  # or DuckDB reports what is left as leaked
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN)
        gc.enable()


def end_process(code: int) -> NoReturn:
    """End the process with what was to be done at its end, and without taking apart what it holds.

    That takes a third of a second after a refresh, and the system frees the memory anyway. Files and databases must
    be closed by now, and standard output written.
    """
    with suppress(KeyboardInterrupt):  # what was asked for is done, or has been told to have failed
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):  # there is nobody left to tell
                stream.flush()
    os._exit(code)
