"""The one exception for what a user can mend."""

from collections.abc import Iterable


class InputError(Exception):
    """Something that the user gave cannot be used. The message names the culprit and the fix."""


def nearest(name: object, known: Iterable[object]) -> str:
    """A hint for a misspelt name: `; did you mean "x"?`, or an empty string where nothing is near."""
    from difflib import get_close_matches

    found = get_close_matches(str(name), map(str, known), n=1, cutoff=0.5)
    return f'; did you mean "{found[0]}"?' if found else ""
