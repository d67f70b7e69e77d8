"""The one exception for what a user can fix."""

from collections.abc import Iterable


class InputError(Exception):
    """Something that the user gave cannot be used. The message names the culprit and the fix."""


def nearest(name: object, known: Iterable[object]) -> str:
    """A hint for a misspelt or spelt-out name (`learning_rate` for `lr`), or an empty string where nothing is near."""
    from difflib import get_close_matches

    choices = [str(choice) for choice in known]
    initials = "".join(word[:1] for word in str(name).split("_"))
    found = [initials] if initials in choices else get_close_matches(str(name), choices, n=1, cutoff=0.5)
    return f'; did you mean "{found[0]}"?' if found else ""
