"""Ctrl-C, SIGTERM and a terminal that is closed: the command ends soon, wherever it was, and its runs say so.

A signal raises KeyboardInterrupt between two instructions. In a destructor or a callback of a weak reference Python
swallows it, so the signal is repeated until the command has left.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STATUS = 130
SAID = "stopped; finished work is kept; run the same command again to resume"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds to the next repetition, and until a command that does not leave by itself is ended all the same.
_AGAIN, _PATIENCE = 0.2, 3.0

_asked: signal.Signals | None = None
_left = threading.Event()
_sending = threading.Lock()  # held while a signal is repeated: none may come after the handlers have gone
_whole = 0  # blocks of `whole` that the main thread is in


@contextmanager
def stoppable(own_process: bool) -> Iterator[None]:
    """Until the end of the block, a signal stops what is in it, by one KeyboardInterrupt.

    With `own_process` nothing else is to be done here afterwards: what takes too long is ended then, and once the block
    is left signals have no effect any more.
    """
    global _asked
    _asked = None
    _left.clear()

    def stop(number: int, frame: FrameType | None) -> None:
        global _asked
        if _asked is None:
            _asked = signal.Signals(number)
            threading.Thread(target=_repeat, args=(_asked, own_process), daemon=True).start()
        if not _left.is_set() and not _whole and not _under_way(sys.exception()):
            raise KeyboardInterrupt

    def hook(event: "sys.UnraisableHookArgs") -> None:
        if not (asked() and event.exc_type is KeyboardInterrupt):  # swallowed, and soon repeated: nothing to tell
            tell(event)

    # `nohup` ignores the end of a terminal: the command is to go on without.
    kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    before = {n: signal.signal(n, stop) for n in _SIGNALS if not (kept and n == signal.SIGHUP)}
    tell, sys.unraisablehook = sys.unraisablehook, hook
    try:
        yield
    finally:
        _left.set()
        with _sending:
            pass  # what is being sent comes before the handlers go
        if not own_process:
            _asked, sys.unraisablehook = None, tell
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if own_process else handler)


@contextmanager
def whole() -> Iterator[None]:
    """A short block that a stop does not cut in two: it comes when the block is done.

    A transaction that is cut in two stays open for as long as the error that did it, and locks out whoever wants to
    write that it was stopped.
    """
    global _whole
    if threading.current_thread() is not threading.main_thread():  # signals do not come here
        yield
        return
    _whole += 1
    try:
        yield
    finally:
        _whole -= 1
    if asked() and not _whole and not _left.is_set() and not _under_way(sys.exception()):
        raise KeyboardInterrupt


def heard() -> None:
    """Whoever ends on purpose where it is stopped says so here, and is not stopped again."""
    _left.set()


def asked() -> bool:
    """Whether a signal came."""
    return _asked is not None


def leave(status: object) -> None:
    """End this process if it was stopped, without Python's own end, which looks through all that was imported, for seconds."""
    if asked() and isinstance(status, int):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def was_stopped(error: BaseException) -> bool:
    """Whether an error is a stop, or what a library made of one."""
    return asked() or _under_way(error)


def _under_way(error: BaseException | None) -> bool:
    """Whether an error is a stop, or was raised while one was on its way."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _repeat(number: signal.Signals, own_process: bool) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if _left.wait(_AGAIN):
            return
        with _sending:
            if not _left.is_set():  # an Event whose wait is over at that moment says False all the same
                signal.pthread_kill(threading.main_thread().ident or 0, number)
    if own_process:  # a server that does not answer, a kernel that runs on: the next command says KILLED
        with suppress(OSError):  # a terminal that is closed
            os.write(sys.stderr.fileno(), f"\n{SAID}\n".encode())
        os._exit(STATUS)
