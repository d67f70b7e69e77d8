"""The scores of the reference's eleven entries are on record, so that no change to the code moves them unnoticed.

python -m tests.test_entry_scores        records them; only where scores are meant to change

Small frames and one epoch, from the demo street: networks, training, errors, steps and fusions are those of the entries. Kinds of
processors round differently, so values are compared to a tolerance and not by a digest.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_experiments import PARAMETERS, plan_of
from vad.data.frameset import FrameSet
from vad.data.layouts import read_frameset
from vad.detectors.base import Listener
from vad.detectors.kinds import make_detector
from vad.frames.store import SplitSource, open_frames
from vad.images.view import View
from vad.scoring.frame_scores import Way, score
from vad.scoring.pipeline import Scored, run_pipeline
from vad.synthetic.street import make_street

RECORD = Path(__file__).with_name("entry_scores.json")
CPU, SIDE, KEPT = torch.device("cpu"), 32, 6
# Between AVX-512 and AVX2 no score, most of which lie between 0 and 1, differed by more than 0.01.
TOLERANCE = 0.03


class Street:
    """A few small frames of the demo street; a detector is fitted once for all entries that share it."""

    def __init__(self, root: Path, work: Path):
        frames: FrameSet = read_frameset(root, work / "index")
        self._halves = [split.slice({1: slice(0, 60, 5), 2: slice(0, 60, 5)}) for split in (frames.train, frames.test)]
        self._work, self._scored = work, {}

    def scores(self, name):
        """The scores of every variant of an entry, by its name."""
        plan = plan_of(name)
        (train, test), found = self._halves, {}
        for key, member in plan.members.items():
            small = replace(
                member,
                view=View(SIDE, SIDE, member.view.colour),
                training=replace(member.recipe, epochs=1, precision="fp32"),
            )
            for wanted in plan.scores(key):
                place = json.dumps([small.settings(), wanted.plain()], sort_keys=True)
                if place not in self._scored:
                    self._scored[place] = self._score(small, train, test, wanted)
                found[key, wanted] = self._scored[place]
        return run_pipeline(plan.streams, plan.variants, Scored(test.index, found)).variants

    def _score(self, member, train, test, wanted):
        seen = {}
        for half in (train, test):
            view = {member.view}
            seen[half] = open_frames(SplitSource(half), view, self._work)[member.view]
        kind, detector = member.kind_of_input(), make_detector(member)
        state = detector.fit(kind.samples(seen[train], train.index, CPU, training=True), CPU, Listener()).state
        way = Way(detector.scorer(state, member.name, CPU), {})
        return score(way, kind.samples(seen[test], test.index, CPU), [wanted], len(test))[wanted]


def kept(scores):
    return {
        variant: [round(float(value), 5) for value in values[:: max(1, len(values) // KEPT)][:KEPT]]
        for variant, values in scores.items()
    }


@pytest.fixture(scope="module")
def street(demo_street, tmp_path_factory):
    return Street(demo_street, tmp_path_factory.mktemp("entries"))


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_entrys_scores_are_those_on_record(street, name):
    known, found = json.loads(RECORD.read_text())[name], kept(street.scores(name))
    assert list(found) == list(known)
    for variant, values in found.items():
        np.testing.assert_allclose(values, known[variant], atol=TOLERANCE, rtol=TOLERANCE, err_msg=variant)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        street_ = Street(make_street(Path(work) / "street"), Path(work))
        RECORD.write_text(json.dumps({name: kept(street_.scores(name)) for name in PARAMETERS}, indent=1) + "\n")
