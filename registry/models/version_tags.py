"""A version's facts as its tags: MLflow's page of a model shows every tag of every version, so few stand by themselves."""

import json
from collections.abc import Mapping

ALL = "vad"
"""The tag that holds the facts which people do not read there: digests, places, ids; as JSON."""
_ASIDE = ("vad.decision",)  # set later, by themselves


def tags_of_version(facts: Mapping[str, str]) -> dict[str, str]:
    """What is set on a new version: the figures and names that a person looks for, then all the rest in one."""
    figure = facts.get("vad.figure", "ap")
    shown = {
        figure: f"{float(facts['vad.value']):.4f} [{facts.get('vad.interval', '').replace(' to ', ', ')}]",
        "reference_ap": facts.get("vad.reference_ap", ""),
        "variant": facts.get("vad.variant", ""),
        "entry": facts.get("vad.entry", ""),
        "data": facts.get("vad.data_name", ""),
        "profile": facts.get("vad.profile", ""),
    }
    rest = {key: value for key, value in facts.items() if key.startswith("vad.") and key not in _ASIDE}
    others = {key: value for key, value in facts.items() if not key.startswith("vad.") and key not in (*shown, ALL)}
    return {key: value for key, value in shown.items() if value} | others | {ALL: json.dumps(rest)}


def facts_of_version(tags: Mapping[str, str]) -> dict[str, str]:
    """All that is known of a version, by `vad.` names; of one that was made before there was the tag `vad`, its tags."""
    try:
        packed = dict(json.loads(tags.get(ALL, "{}")))
    except (ValueError, TypeError):
        packed = {}
    return {**packed, **{key: value for key, value in tags.items() if key != ALL}}
