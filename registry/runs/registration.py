"""The best variant of a run as a version of the registered model."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from registry.data.datasets import labels_tags
from registry.entries.entry import Entry
from registry.models.production import Production
from registry.models.versions import Versions
from registry.runs.context import RunContext
from registry.runs.description import describe_version, reference_for
from registry.runs.members import TrainedMember
from registry.runs.result import FILE, Result
from registry.store.runlog import RunLog
from registry.store.tracking import Tracking
from vad.scoring import ensemble as ensembles
from vad.scoring.pipeline import Outcome


def register(
    context: RunContext,
    outcome: Outcome,
    known: Mapping[str, TrainedMember],
    log: RunLog,
    tracking: Tracking,
    result: Result,
) -> Result:
    """Register the best variant that frames alone can give, let it stand for production, and say so in the run."""
    from_frames = [
        n for n in result.variants if not any(context.plan.streams[s].file for s in context.plan.variants[n].streams)
    ]
    if not from_frames:
        said = "no model: every variant reads predictions files, which cannot score frames"
    elif (value := result.variants[from_frames[0]]) is None:
        said = "no model: without labels or held-out frames nothing says which variant is best (set holdout: 0.1)"
    else:
        name, versions = from_frames[0], Versions(tracking)
        weights = {member: item.weights for member, item in known.items()}
        members = {member: item.member for member, item in known.items()}
        chosen = ensembles.select(
            members, context.plan.streams, name, context.plan.variants[name], outcome.fitted, weights
        )
        digest = ensembles.identity(chosen, {member: item.digest for member, item in known.items()})
        tags = {
            "vad.entry": context.plan.name,
            "vad.variant": name,
            "vad.figure": result.figure,
            "vad.value": f"{value.ap:.6f}",
            "vad.reference_ap": _reference(context.loaded.entry, name),
            "vad.interval": f"{value.low:.4f} to {value.high:.4f}",
            "vad.protocol": context.data.protocol(),
            "vad.data": context.data.place,
            "vad.data_name": context.data.name,
            **labels_tags(context.data),
            "vad.test_digest": context.data.test_digest,
            "vad.profile": context.loaded.profile,
        }
        text = describe_version(context.loaded.entry, result, name, value, log)
        version, new = versions.register(log.run_id, chosen, digest, tags, text)
        decision = Production(versions, tracking, context.request.home).consider(version)
        state = "registered as" if new else "is already"
        said = (
            f"{name} {state} {version.uri}; "
            + ("now production: " if decision.promote else "not promoted: ")
            + decision.reason
        )
        result = replace(result, version=version.number)
        log.tags({"vad.version": version.number, "vad.decision": decision.reason})
    result = replace(result, registered=said)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / FILE
        path.write_text(json.dumps(asdict(result), indent=2))
        log.artifact(path)
    return result


def _reference(entry: Entry, variant: str) -> str:
    """The reference's figure for people: whose it is, where that is another variant."""
    stated, of = reference_for(entry, variant)
    return "" if stated is None else f"{stated:.4f}{f' ({of})' if of and of != variant else ''}"
