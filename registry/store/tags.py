"""Names of tags in MLflow: its UI shows a run's page those in `SHOWN`, and hides the others by their prefix.

The program knows each by one name, as in `vad.digest`. Earlier versions stored all of them by that name.
"""

from collections.abc import Mapping

SHOWN = frozenset(
    f"vad.{name}"
    for name in (
        *("kind", "entry", "set", "data", "labels", "variant_chosen_by", "result", "version", "decision"),
        *("imported_from", "diverged", "reason", "file", "suite", "pretrained"),
        *("kaggle", "kaggle_reply", "kaggle_accepted"),
    )
)
_HIDDEN = "mlflow."


def stored(name: str) -> str:
    """Return the name by which the store has a tag."""
    return f"{_HIDDEN}{name}" if name.startswith("vad.") and name not in SHOWN else name


def plain(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a store's tags by the program's names, of this version or an earlier one."""
    hidden = {name.removeprefix(_HIDDEN): v for name, v in tags.items() if name.startswith(f"{_HIDDEN}vad.")}
    return {name: v for name, v in tags.items() if not name.startswith(f"{_HIDDEN}vad.")} | hidden
