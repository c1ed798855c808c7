"""Does two things at once: arithmetic here, and on a thread of its own what waits for the database."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[], None] | None) -> Iterator[None]:
    """Run `work` on a thread of its own while the block runs, which must leave the database alone until its end.

    What the block raises comes first, then what the work raised.

    >>> said = []
    >>> with beside(lambda: said.append("beside")):
    ...     pass
    >>> said
    ['beside']
    """
    if work is None:
        yield
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside") as thread:
        done = thread.submit(work)
        yield
        done.result()
