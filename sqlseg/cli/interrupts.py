"""Ctrl-C, which waits for the end of an import, and for a thread to have begun.

Python raises KeyboardInterrupt wherever the main thread is. Within an import that is a place where it can be lost (what
a callback of a weak reference raises is only printed) and where it can leave the interpreter's lock of imports taken,
so that every thread that imports anything then waits for good. Where threads import side by side, as in a first
refresh, that happened to one Ctrl-C in ten. While a pool begins a thread, the pool never hears of that thread, which
goes on with what nobody waits for.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

_IMPORTING = "<frozen importlib._bootstrap"
_BEGINNING = (threading.Thread.start.__code__, ThreadPoolExecutor.submit.__code__)
_AGAIN_AFTER = 0.02
_raised: list[int] = []


def interrupted() -> bool:
    """Return whether a Ctrl-C has been raised: libraries may have made another exception of it."""
    return bool(_raised)


@contextmanager
def interrupts_between_imports() -> Iterator[None]:
    """Let a Ctrl-C during the block wait for an import, or the beginning of a thread, that the main thread is about."""
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
    """Raise KeyboardInterrupt, but for a signal that comes at a bad moment: that one comes again a little later."""
    if not _at_a_bad_moment(frame):
        _raised.append(number)
        raise KeyboardInterrupt
    # Not as a threading.Thread, whose locks the main thread may hold at this moment.
    _thread.start_new_thread(_come_again, (signal.Signals(number), threading.get_ident()))


def _come_again(number: signal.Signals, main_thread: int) -> None:
    time.sleep(_AGAIN_AFTER)
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:
        signal.pthread_kill(main_thread, number)  # wakes it where it waits, too


def _at_a_bad_moment(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_IMPORTING) or code in _BEGINNING:
            return True
        frame = frame.f_back
    return False
