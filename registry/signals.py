"""Ctrl-C, SIGTERM and a closed terminal: the command ends soon, wherever it was, and its runs say so.

A signal raises KeyboardInterrupt between two instructions. Python swallows it in a destructor or in a callback of a weak
reference, so the signal is repeated until the command has ended.
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
STOPPED = "stopped; finished work is kept; run the same command again to resume"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REPEAT_SECONDS = 0.2
_KILL_SECONDS = 3.0  # a command that has not ended by then is killed

_received: signal.Signals | None = None
_ending = threading.Event()  # the command ends on purpose: no signal stops it again
_sending = threading.Lock()  # held while a signal is repeated: none may arrive after the handlers are restored
_postponing = 0  # blocks of `postpone_stop` that the main thread is in


@contextmanager
def stop_on_signals(own_process: bool) -> Iterator[None]:
    """Let a signal stop the block by one KeyboardInterrupt; with `own_process`, kill the process if it does not end in time."""
    global _received
    _received = None
    _ending.clear()

    def handle(number: int, frame: FrameType | None) -> None:
        global _received
        if _received is None:
            _received = signal.Signals(number)
            threading.Thread(target=_repeat, args=(_received, own_process), daemon=True).start()
        _raise_unless_ending()

    def report(event: "sys.UnraisableHookArgs") -> None:
        if not (stop_received() and event.exc_type is KeyboardInterrupt):  # it was swallowed, and comes again
            report_before(event)

    # `nohup` ignores SIGHUP, so that the command outlives its terminal.
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    handlers_before = {n: signal.signal(n, handle) for n in _SIGNALS if not (nohup and n == signal.SIGHUP)}
    report_before, sys.unraisablehook = sys.unraisablehook, report
    try:
        yield
    finally:
        _ending.set()
        with _sending:
            pass  # wait for a signal that is being sent
        if not own_process:
            _received, sys.unraisablehook = None, report_before
        for number, handler in handlers_before.items():
            signal.signal(number, signal.SIG_IGN if own_process else handler)


@contextmanager
def postpone_stop() -> Iterator[None]:
    """Let a stop wait for the end of a short block: a database transaction that is cut in two keeps its lock."""
    global _postponing
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield
        return
    _postponing += 1
    try:
        yield
    finally:
        _postponing -= 1
    if stop_received():
        _raise_unless_ending()


def ignore_further_signals() -> None:
    """Let the command end without being stopped again."""
    _ending.set()


def stop_received() -> bool:
    return _received is not None


def exit_if_stopped(status: object) -> None:
    """End a process that was stopped at once: Python's own exit takes seconds with large libraries loaded."""
    if stop_received() and isinstance(status, int):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def was_stopped(error: BaseException) -> bool:
    """Whether an error is a stop, or what a library made of one."""
    return stop_received() or _is_interrupt(error)


def _raise_unless_ending() -> None:
    if not _ending.is_set() and not _postponing and not _is_interrupt(sys.exception()):
        raise KeyboardInterrupt


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an error is a KeyboardInterrupt, or was raised while one was handled."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _repeat(number: signal.Signals, own_process: bool) -> None:
    end = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < end:
        if _ending.wait(_REPEAT_SECONDS):
            return
        with _sending:
            if not _ending.is_set():  # `wait` returns False if it is set in the moment of the timeout
                signal.pthread_kill(threading.main_thread().ident or 0, number)
    if own_process:  # it waits for a server or a kernel; the next command marks its runs KILLED
        with suppress(OSError):  # a closed terminal
            os.write(sys.stderr.fileno(), f"\n{STOPPED}\n".encode())
        os._exit(STATUS)
