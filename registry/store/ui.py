"""MLflow's UI as the leaderboard: the saved view of an experiment's runs, and links to it."""

import os
import sys
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress

from registry.store.mlflow_private import view_link, view_tag, view_value
from registry.store.tracking import Tracking

NAME = "leaderboard"
TAG = view_tag(NAME)
_MOST_LINKS = 8
# Where there is no run yet. Without its end the UI shows what it has for language models.
_NOTHING = "#/experiments?workflowType=machine_learning"


def leaderboards(tracking: Tracking, address: str) -> dict[str, str]:
    """Return links to the experiments with finished runs, best run first, by name; the one that was run last comes first.

    Suites come behind them.
    """
    links: dict[str, str] = {}
    for run in [*tracking.find("experiment"), *tracking.find("suite")]:
        if run.experiment not in links:
            if TAG not in tracking.client.get_experiment(run.experiment_id).tags:  # one of an earlier version
                value = saved_view(run.tags.get("vad.figure", "ap"))
                with suppress(Exception):  # a store that cannot be written is shown all the same
                    tracking.client.set_experiment_tag(run.experiment_id, TAG, value)
            links[run.experiment] = f"{address}/{view_link(run.experiment_id, NAME)}"
    return links


def announce(links: dict[str, str], address: str, hint: str, browse: bool, say: Callable[[str], object]) -> None:
    """Say where the leaderboards are, and open the first where a person sits before a display."""
    if not links:
        say("No finished run yet. Start with: make run EXP=phase5_multiscale")
    first = next(iter(links.values()), f"{address}/{_NOTHING}")
    say(f"MLflow UI: {first}{hint}")
    others = list(links.items())[1:]
    for name, link in others[:_MOST_LINKS]:
        say(f"{name}: {link}")
    if len(others) > _MOST_LINKS:
        say(f"{len(others) - _MOST_LINKS} older experiments are listed there")
    display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if browse and display and sys.stdout.isatty():
        with suppress(webbrowser.Error):
            webbrowser.open(first)


def saved_view(metric: str) -> str:
    """Return the value of `TAG`; `metric` is `ap` or `proxy_ap`."""
    auc = "auc" if metric == "ap" else "proxy_auc"
    metrics = [metric, f"{metric}_low", f"{metric}_high", "reference_ap", "board_public", auc]
    costs = ["members_seconds", "frames_per_second", "megabytes"]
    params = ["best_variant", "profile", "model", "input", "sizes", "members", "loss", "epochs"]
    chosen = [
        *(f"metrics.`{key}`" for key in metrics),
        *(f"params.`{key}`" for key in params),
        *(f"metrics.`{key}`" for key in costs),
        "attributes.`Models`",
    ]
    return _view("experiment", metric, chosen)


def suite_view(metrics: Sequence[str]) -> str:
    """Return the value of `TAG` for a suite, whose runs have these metrics; the best worst case first."""
    chosen = [*(f"metrics.`{key}`" for key in metrics), "params.`variant`", "params.`profile`"]
    return _view("suite", "worst", chosen)


def _view(kind: str, order: str, chosen: Sequence[str]) -> str:
    """Return a view of an experiment's runs of a kind, the highest of a metric first, with these columns."""
    state = {
        "searchFilter": f"tags.`vad.kind` = '{kind}'",
        "orderByKey": f"metrics.`{order}`",
        "orderByAsc": False,
        "selectedColumns": list(chosen),
        "columnOrder": ["0", "attributes.`Run Name`", *chosen, "runDateAndNestInfo", "duration"],
        "columnWidths": {name: 150 if name.endswith("variant`") else 90 for name in chosen},
    }
    return view_value(NAME, state)
