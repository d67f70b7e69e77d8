"""The leaderboard as a saved view of MLflow's UI: parents only, sorted by their figure, the columns that a person wants.

The UI sorts and chooses columns by nothing that is logged but such a view, which is a tag of the experiment. It is
under "Views" at the top right of an experiment's runs, and a link opens it; any other setting in that link undoes it.
"""

from registry.store.mlflow_private import view_link, view_tag, view_value

NAME = "leaderboard"
TAG = view_tag(NAME)
_NAME_PLACE = ("attributes.`Run Name`", "runDateAndNestInfo", "duration")


def saved_view(figure: str, made: float) -> str:
    """The value of `TAG`; `figure` is `ap` or `proxy_ap`, `made` the time in seconds since 1970."""
    auc = "auc" if figure == "ap" else "proxy_auc"
    metrics = [figure, f"{figure}_low", f"{figure}_high", "reference_ap", "board_public", auc]
    costs = ["members_seconds", "frames_per_second", "megabytes"]
    params = ["best_variant", "profile", "model", "input", "sizes", "members", "loss", "epochs"]
    chosen = [
        *(f"metrics.`{key}`" for key in metrics),
        *(f"params.`{key}`" for key in params),
        *(f"metrics.`{key}`" for key in costs),
        "attributes.`Models`",
    ]
    run_name, created, duration = _NAME_PLACE
    state = {
        "searchFilter": "tags.`vad.kind` = 'experiment'",
        "orderByKey": f"metrics.`{figure}`",
        "orderByAsc": False,
        "selectedColumns": chosen,
        "columnOrder": ["0", run_name, *chosen, created, duration],
        "columnWidths": dict.fromkeys(chosen, 90) | {"params.`best_variant`": 150},
    }
    return view_value(NAME, state, made)


def link(experiment_id: str) -> str:
    """The part of the address that opens the view, after the server's own."""
    return view_link(experiment_id, NAME)
