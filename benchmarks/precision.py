"""How far scores and AP move when a network is scored in fp32 instead of bf16, as on a processor that only emulates bf16.

    .venv/bin/python -m benchmarks.precision [--sizes 64 128 256] [--epochs 4]

Trains conv_ae on the demo street at each size, two seeds each, in the precision that is fast here; scores its test frames in both.
Scores are those of phase5_multiscale's streams: the largest error, clipped at its 99th percentile and scaled to [0, 1], two seeds
averaged, smoothed. Where bf16 is emulated, a frame of 64 px takes 0.1 s, one of 256 px nearly 2 s.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks import ceilings, parts
from vad.catalog import Named
from vad.data.labels import find_labels, read_labels
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.frames.store import SplitSource, open_frames
from vad.images.digest_cache import DigestCache
from vad.images.view import square
from vad.scoring.pipeline import Scored, Stream, Variant, run_pipeline
from vad.system import precision

_MAX = Named("max")
_SCALED = Named("normalize", (("percentile", 100.0), ("scope", "all")))
_STEPS = (Named("normalize", (("percentile", 99.0), ("scope", "all"))), Named("mean"), _SCALED)
_VARIANT = Variant("single", ("s",), (), (Named("gaussian", (("sigma", 3.0),)), _SCALED))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=parts.SIZES)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    print(ceilings.machine(), "\n")
    print(
        "| size | largest difference of a frame's score | AP scored in fp32 | in bf16 | difference |\n|---|---|---|---|---|"
    )
    fast = precision.for_training("auto", parts.device())
    precision.computes_in_bf16 = lambda device: True  # from here on bf16 is bf16, emulated or not
    with tempfile.TemporaryDirectory() as folder:
        for size in given.sizes:
            print(_row(Path(folder), size, given.epochs, fast), flush=True)


def _row(home: Path, size: int, epochs: int, fast: precision.Precision) -> str:
    frames = parts.street(home)
    labels = read_labels(find_labels(frames.root), frames.test.index, DigestCache(home / "memory.json")).values
    view = square(size)
    trains, tests = (open_frames(SplitSource(split), [view], home)[view] for split in (frames.train, frames.test))
    scores = {}
    for seed in parts.SEEDS:
        net = parts.network(size, size, seed)
        recipe = Training("mse", "adam", 1e-3, 0.0, None, epochs, None, 0.0, "best", fast, 16)
        train(net, parts.samples_of(np.array(trains)), recipe, seed, parts.device())
        for form in ("fp32", "bf16"):
            scores[form, f"m-{seed}"] = parts.score_all(net, parts.samples_of(tests), form, _MAX)
    finals = []
    for form in ("fp32", "bf16"):
        raw = {(name, _MAX): values for (which, name), values in scores.items() if which == form}
        stream = Stream(tuple(name for name, _ in raw), _MAX, _STEPS)
        finals.append(run_pipeline({"s": stream}, {"v": _VARIANT}, Scored(frames.test.index, raw)).variants["v"])
    aps = [average_precision_score(labels, final) for final in finals]
    return (
        f"| {size} | {np.abs(finals[0] - finals[1]).max():.4f} | {aps[0]:.4f} | {aps[1]:.4f} | {aps[1] - aps[0]:+.4f} |"
    )


if __name__ == "__main__":
    main()
