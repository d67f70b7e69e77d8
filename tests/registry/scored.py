"""Labels and scores of four videos in the working folder, and `vad evaluate` on them, for the tests of that command."""

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from registry.cli import main

LENGTHS = {1: 40, 2: 30, 3: 50, 4: 25}


class Folder:
    """Labels of four videos, and scores that know something of them."""

    def __init__(self):
        generator = np.random.default_rng(5)
        self.video = np.repeat(list(LENGTHS), list(LENGTHS.values()))
        self.frame = np.concatenate([np.arange(n) for n in LENGTHS.values()])
        self.labels = (self.video < 4) & (self.frame >= 10) & (self.frame < 18 + self.video)
        self.scores = generator.normal(0, 0.6, len(self.video)) + self.labels
        self.ids = [f"{v}_{f}" for v, f in zip(self.video, self.frame, strict=True)]
        self.write("labels.csv", "Label", self.labels.astype(int))
        self.write("p.csv", "Predicted", self.scores)

    def write(self, name, column, values, kept=None):
        kept = np.ones(len(values), bool) if kept is None else kept
        rows = [f"{i},{v}" for i, v, k in zip(self.ids, values.tolist(), kept, strict=True) if k]
        Path(name).write_text("\n".join([f"Id,{column}", *rows]) + "\n")

    def of(self, video):
        return self.scores[self.video == video]


def vad(*arguments):
    return CliRunner().invoke(main, ["evaluate", *arguments, "--labels", "labels.csv"], catch_exceptions=False)


def done(*arguments):
    result = vad(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def figures(*arguments):
    return json.loads(done(*arguments, "--json"))


def refused(*arguments):
    result = vad(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("Error") == 1 and "Traceback" not in result.output
    return result.stderr
