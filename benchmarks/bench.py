"""How fast the project is, beside a notebook that does the same and beside what the machine can do.

    make bench            or: .venv/bin/python -m benchmarks.bench [--out FOLDER] [--rounds 5] [--quick]

Writes bench.md and bench.json. docs/benchmarks.md says how each number is made.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks import ceilings, parts, registry_parts, whole
from benchmarks.report import as_markdown
from benchmarks.side import ROUNDS, SECONDS, Compared, Side, Work, compare
from vad.system.files import replacing
from vad.system.precision import Precision, for_training

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How often each thing is measured, and about how many seconds it may take: how much is done in them is found out first."""

    rounds: int = ROUNDS
    seconds: float = SECONDS  # a round of both sides
    ends: int = 2
    end_seconds: float = 150  # all rounds of phase 5 from files to scores
    run_seconds: float = 90  # the training of the run whose tracking is measured
    runs: int = 1000
    growth_from: int = 1_000
    growth_seconds: float = 40  # the largest number of frames


QUICK = Size(1, 0.5, 1, 15, 5, 50, 500, 1)


@dataclass(frozen=True)
class Product:
    """The matrix product in the precision that the networks compute in: floating-point operations a second."""

    precision: Precision
    rate: float

    @property
    def name(self) -> str:
        return f"the {self.precision} product"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it works")
    given = parser.parse_args()
    size = QUICK if given.quick else Size(rounds=given.rounds)
    started = time.perf_counter()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), size)
    found["minutes"] = round((time.perf_counter() - started) / 60, 1)
    text = as_markdown(found)
    for name, content in (("bench.md", text), ("bench.json", json.dumps(found, indent=2))):
        with replacing(given.out / name) as temporary:
            temporary.write_text(content)
    print(text)


def measure(home: Path, size: Size) -> dict[str, Any]:
    """Every figure, as plain values."""
    device = parts.device()
    precision = for_training("auto", device)
    found: dict[str, Any] = {"machine": ceilings.machine(), "precision": precision, "rounds": size.rounds}
    rows: dict[str, dict[str, Any]] = {}
    with Side() as ours, Side() as theirs:
        found["ceilings"] = step("ceilings", lambda: _ceilings(ours, device))
        product = Product(precision, found["ceilings"][f"{precision} product, TFLOP/s"] * 1e12)
        rows["decode"] = step("decode", lambda: _decode(ours, theirs, home, size))
        for kind in _WORK:
            for scale in parts.SCALES:
                part = f"{kind}, {scale[0]} px"
                rows[part] = step(part, lambda: _network(ours, theirs, kind, scale, size, product))  # noqa: B023
        found["rows"] = [{"part": part, **row} for part, row in rows.items()]
        found |= step("phase 5, end to end", lambda: _end_to_end(ours, theirs, home, size, rows, product))
    found["seconds"] = {"post_processing": step("post-processing", registry_parts.post_processing)}
    rate = rows["training, 128 px"]["ours"]
    found["epochs"] = registry_parts.phase2_epochs(len(parts.street(home).train), rate, size.run_seconds)
    with registry_parts.store(home):
        request = registry_parts.phase2(home, found["epochs"])
        costs = step("a run, and again", lambda: registry_parts.run_and_skip(request))
    found["tracking_share"] = costs["tracking_share"]
    found["seconds"]["skip"] = costs["skip_seconds"]
    found["seconds"]["help"] = step("vad --help", registry_parts.help_seconds)
    (home / "many").mkdir()
    with registry_parts.store(home / "many"):
        found["seconds"]["leaderboard"] = step("leaderboard", lambda: registry_parts.leaderboard_seconds(size.runs))
    growth = step("growth", lambda: whole.growth(home, size.growth_from, size.growth_seconds))
    found["growth"] = asdict(growth) | {"exponent": growth.exponent}
    return found


def step(what: str, work: Callable[[], T]) -> T:
    """Do a part, and say on the screen that it is done."""
    started = time.perf_counter()
    result = work()
    print(f"  {what}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return result


def _row(compared: Compared, share: float, of: str) -> dict[str, Any]:
    sides = {"ours": statistics.median(compared.ours), "theirs": statistics.median(compared.theirs)}
    return {**sides, "ratios": compared.ratios, "share": share, "of": of}


def _ceilings(ours: Side, device: torch.device) -> dict[str, float]:
    """What the machine can do at best."""
    found = {
        f"{precision} product, TFLOP/s": ours.call(ceilings.product, precision, device) / 1e12
        for precision in ceilings.precisions(device)
    }
    found["memory, GB/s"] = ours.call(ceilings.bandwidth, device) / 1e9
    if device.type == "cuda":
        found["to the device, GB/s"] = ours.call(ceilings.to_device, device) / 1e9
    return found


def _decode(ours: Side, theirs: Side, home: Path, size: Size) -> dict[str, Any]:
    mine = (ours, partial(parts.decode, home))
    compared = compare(mine, (theirs, partial(parts.decode_as_a_notebook, home)), size.rounds, size.seconds)
    beside = compare(mine, (theirs, partial(parts.read, home)), size.rounds, size.seconds)
    return _row(compared, statistics.median(beside.ratios), "cv2.imread on all cores")


# Who makes our work and who the notebook's, and how many forward passes it is worth.
_WORK: dict[str, tuple[Callable[..., Work], Callable[..., Work], int]] = {
    "training": (parts.training, parts.training_as_a_notebook, 3),
    "scoring": (parts.scoring, parts.scoring_as_a_notebook, 1),
}


def _network(
    ours: Side, theirs: Side, kind: str, scale: tuple[int, int, int], size: Size, product: Product
) -> dict[str, Any]:
    mine, other, passes = _WORK[kind]
    compared = compare((ours, partial(mine, *scale)), (theirs, partial(other, *scale)), size.rounds, size.seconds)
    share = compared.median * passes * _operations(scale) / product.rate
    return _row(compared, share, product.name)


def _operations(scale: tuple[int, int, int]) -> int:
    return parts.operations(parts.network(*scale[:2]), scale[0])


def _end_to_end(
    ours: Side, theirs: Side, home: Path, size: Size, rows: dict[str, dict[str, Any]], product: Product
) -> dict[str, Any]:
    street = parts.street(home)
    seeds, portion = portion_of(size, once_through(rows, len(street.train), len(street.test)))
    street = parts.street(home, portion)
    train, test = len(street.train), len(street.test)
    ours.prepare(whole.phase5, home, seeds, portion)
    theirs.prepare(whole.phase5_as_a_notebook, home, seeds, portion)
    seconds = [(ours.seconds()[1], theirs.seconds()[1]) for _ in range(size.ends)]
    losses = [side.call(whole.last_losses) for side in (ours, theirs)]
    operations = len(seeds) * sum(_operations(scale) * (3 * train + test) for scale in parts.SCALES)
    mine, other = map(list, zip(*seconds, strict=True))
    return {
        "end_to_end": {
            "work": f"one epoch of {len(seeds) * len(parts.SCALES)} members, {train} train and {test} test frames",
            "ours": mine,
            "theirs": other,
            "share": operations / product.rate / statistics.median(mine),
            "of": product.name,
        },
        "losses": [
            {"size": s, "seed": seed, "ours": losses[0][s, seed], "theirs": losses[1][s, seed]} for s, seed in losses[0]
        ],
    }


def once_through(rows: dict[str, dict[str, Any]], train: int, test: int) -> float:
    """Seconds that both sides together take for phase 5 with one seed, by the frames a second of its parts."""
    seconds = 0.0
    for side in ("ours", "theirs"):
        seconds += (train + test) / rows["decode"][side]
        for scale in parts.SIZES:
            seconds += train / rows[f"training, {scale} px"][side] + test / rows[f"scoring, {scale} px"][side]
    return seconds


def portion_of(size: Size, once: float) -> tuple[tuple[int, ...], float]:
    """With which seeds, and on which portion of the frames: both seeds if there is time for them, else one, on what there is time for."""
    times = size.end_seconds / (size.ends * once)
    seeds = parts.SEEDS[: max(1, min(len(parts.SEEDS), int(times)))]
    return seeds, min(1.0, times / len(seeds))


if __name__ == "__main__":
    main()
