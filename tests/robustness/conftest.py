"""What the tests of bad input share: how bytes are damaged, and what may become of it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from vad.errors import InputError

settings.register_profile(
    "same every time", derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("same every time")

# What stands wrongly in files: nothing, marks of byte order, ends of lines, quotes, numbers that are none.
JUNK = (
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r",
    b"\r\n",
    b'"',
    b"'",
    b",",
    b"nan",
    b"\x1a",
    b"[",
    b"{",
    b"&a ",
    b"*a",
    b"\xff" * 8,
)
LONGEST_MESSAGE, MOST_SECONDS = 3000, 10


@pytest.fixture(scope="session")
def damaged() -> Callable[[bytes], st.SearchStrategy[bytes]]:
    """Bytes as they come out of a bad disk or a wrong hand: cut, flipped, overwritten, lengthened."""

    def strike(data: bytes, blow: tuple[str, float, int, bytes]) -> bytes:
        kind, place, bit, junk = blow
        at = min(int(place * len(data)), max(len(data) - 1, 0))
        if kind == "flip" and data:
            return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        if kind == "cut":
            return data[:at]
        if kind == "drop":
            return data[:at] + data[at + 1 + bit :]
        if kind == "zero":
            return (
                data[:at] + bytes(len(data[at : at + 16 << bit])) + data[at + 16 << bit :] if at else bytes(len(data))
            )
        return data[:at] + junk + data[at:]

    blow = st.tuples(
        st.sampled_from(["flip", "cut", "drop", "zero", "insert"]),
        st.floats(0, 1),
        st.integers(0, 7),
        st.sampled_from(JUNK),
    )

    def make(whole: bytes) -> st.SearchStrategy[bytes]:
        def all_blows(blows: list[tuple[str, float, int, bytes]]) -> bytes:
            data = whole
            for one in blows:
                data = strike(data, one)
            return data

        return st.lists(blow, min_size=1, max_size=3).map(all_blows)

    return make


@pytest.fixture(scope="session")
def judged() -> Callable[..., Any]:
    """The result of `work`, or None where it was refused by one InputError that names the culprit. Nothing else may happen."""

    def judge(work: Callable[[], Any], culprit: str) -> Any:
        started = time.process_time()
        result, message = None, culprit
        try:
            result = work()
        except InputError as error:
            message = str(error)
        assert culprit in message
        assert "Traceback" not in message
        assert len(message) < LONGEST_MESSAGE
        assert time.process_time() - started < MOST_SECONDS
        return result

    return judge
