"""Ctrl-C, which waits for the end of an import.

Python raises KeyboardInterrupt wherever the main thread is. Within an import that is a place where it can be lost (what
a callback of a weak reference raises is only printed) and where it can leave the interpreter's lock of imports taken,
so that every thread that imports anything then waits for good. Where threads import side by side, as in a first
refresh, that happened to one Ctrl-C in ten.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_IMPORTING = "<frozen importlib._bootstrap"
_AGAIN_AFTER = 0.02


@contextmanager
def interrupts_between_imports() -> Iterator[None]:
    """Let a Ctrl-C during the block wait for an import that the main thread is about."""
    before = signal.getsignal(signal.SIGINT)
    in_charge = threading.current_thread() is threading.main_thread() and before is signal.default_int_handler
    if in_charge:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if in_charge:
            signal.signal(signal.SIGINT, before)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but for a signal that comes during an import: that one comes again a little later."""
    if not _imports(frame):
        raise KeyboardInterrupt
    # Not as a threading.Thread, whose locks the main thread may hold at this moment.
    _thread.start_new_thread(_come_again, (signal.Signals(number), threading.get_ident()))


def _come_again(number: signal.Signals, main_thread: int) -> None:
    time.sleep(_AGAIN_AFTER)
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(main_thread, number)  # wakes it where it waits, too


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            return True
        frame = frame.f_back
    return False
