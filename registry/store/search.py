"""What MLflow's searches lack: a condition on any text, and all pages of an answer."""

import re
from collections.abc import Callable, Iterator
from typing import Any

# MLflow's conditions have no way to write these within a value.
_AWKWARD = re.compile(r"[\x00-\x1f'\"`\\]")


def equals(field: str, value: str) -> str:
    """Return the condition that a field has a value, as in "name = 'small-1'"; of a tag, `field` is "tags.`vad.kind`".

    Where the value holds a quotation mark or a backslash, any character in its place fits: compare what is found.
    """
    pattern = _AWKWARD.sub("_", value)
    return f"{field} = '{value}'" if pattern == value else f"{field} LIKE '{pattern}'"


def pages(search: Callable[..., Any], *given: Any, **named: Any) -> Iterator[Any]:
    """Yield all that a search of MLflow's finds: one call gives a page, as 1,000 experiments or 100 models."""
    token = None
    while True:
        page = search(*given, page_token=token, **named)
        yield from page
        token = page.token
        if not token:
            return
