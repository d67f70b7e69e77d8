"""How fast the project is, beside a notebook that does the same and beside what the machine can do.

    make bench            or: .venv/bin/python -m benchmarks.bench [--out FOLDER] [--rounds 5] [--quick]

Writes bench.md and bench.json. benchmarks/README.md says how each number is made.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks import ceilings, parts, registry_parts, whole
from benchmarks.report import as_markdown
from benchmarks.side import ROUNDS, Compared, Side, compare
from vad.files import replacing
from vad.precision import resolve

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = ROUNDS
    batches: int = 8
    pixels: int = 2**24
    epochs: int = 10
    seeds: tuple[int, ...] = parts.SEEDS
    ends: int = 2
    runs: int = 1000
    growth: tuple[int, ...] = (1_000, 10_000, 100_000)


QUICK = Size(1, 2, 2**21, 1, parts.SEEDS[:1], 1, 50, (500, 1_000, 2_000))


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
    found: dict[str, Any] = {"machine": ceilings.machine(), "rounds": size.rounds}
    with Side() as ours, Side() as theirs:
        found["ceilings"] = step("ceilings", lambda: _ceilings(ours, device))
        peak = found["ceilings"][f"{resolve('auto', device)} product, TFLOP/s"] * 1e12
        found["rows"] = [step("decode", lambda: _decode(ours, theirs, home, size))]
        for scale in parts.SCALES:
            found["rows"].append(step(f"training, {scale[0]} px", lambda: _training(ours, theirs, scale, size, peak)))  # noqa: B023
        for scale in parts.SCALES:
            found["rows"].append(step(f"scoring, {scale[0]} px", lambda: _scoring(ours, theirs, scale, size, peak)))  # noqa: B023
        found |= step("phase 5, end to end", lambda: _end_to_end(ours, theirs, home, size))
    found["seconds"] = {"post_processing": step("post-processing", registry_parts.post_processing)}
    with registry_parts.store(home):
        costs = step("a run, and again", lambda: registry_parts.run_and_skip(registry_parts.phase2(home, size.epochs)))
    found["tracking_share"] = costs["tracking_share"]
    found["seconds"]["skip"] = costs["skip_seconds"]
    found["seconds"]["help"] = step("vad --help", registry_parts.help_seconds)
    (home / "many").mkdir()
    with registry_parts.store(home / "many"):
        found["seconds"]["leaderboard"] = step("leaderboard", lambda: registry_parts.leaderboard_seconds(size.runs))
    growth = step("growth", lambda: whole.growth(home, size.growth))
    found["growth"] = asdict(growth) | {"exponent": growth.exponent}
    return found


def step(what: str, work: Callable[[], T]) -> T:
    """Do a part, and say on the screen that it is done."""
    started = time.perf_counter()
    result = work()
    print(f"  {what}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return result


def _row(part: str, compared: Compared, share: float, of: str) -> dict[str, Any]:
    sides = {"ours": statistics.median(compared.ours), "theirs": statistics.median(compared.theirs)}
    return {"part": part, **sides, "ratios": compared.ratios, "share": share, "of": of}


def _ceilings(ours: Side, device: torch.device) -> dict[str, float]:
    """What the machine can do at best."""
    found = {
        "bf16 product, TFLOP/s": ours.call(ceilings.product, torch.bfloat16, device) / 1e12,
        "fp32 product, TFLOP/s": ours.call(ceilings.product, torch.float32, device) / 1e12,
        "memory, GB/s": ours.call(ceilings.bandwidth, device) / 1e9,
    }
    if device.type == "cuda":
        found["to the device, GB/s"] = ours.call(ceilings.to_device, device) / 1e9
    return found


def _decode(ours: Side, theirs: Side, home: Path, size: Size) -> dict[str, Any]:
    ours.prepare(parts.decode, home)
    theirs.prepare(parts.decode_as_a_notebook, home)
    compared = compare(ours, theirs, size.rounds)
    theirs.prepare(ceilings.imread, parts.files(home))
    beside = compare(ours, theirs, size.rounds)
    return _row("decode", compared, statistics.median(beside.ratios), "cv2.imread on all cores")


def _training(ours: Side, theirs: Side, scale: tuple[int, int, int], size: Size, peak: float) -> dict[str, Any]:
    ours.prepare(parts.training, *scale, size.batches)
    theirs.prepare(parts.training_as_a_notebook, *scale, size.batches)
    compared = compare(ours, theirs, size.rounds)
    share = compared.median * 3 * parts.operations(parts.network(*scale[:2]), scale[0]) / peak
    return _row(f"training, {scale[0]} px", compared, share, "the matrix product")


def _scoring(ours: Side, theirs: Side, scale: tuple[int, int, int], size: Size, peak: float) -> dict[str, Any]:
    count = size.pixels // scale[0] ** 2
    ours.prepare(parts.scoring, *scale[:2], count)
    theirs.prepare(parts.scoring_as_a_notebook, *scale, count)
    compared = compare(ours, theirs, size.rounds)
    share = compared.median * parts.operations(parts.network(*scale[:2]), scale[0]) / peak
    return _row(f"scoring, {scale[0]} px", compared, share, "the matrix product")


def _end_to_end(ours: Side, theirs: Side, home: Path, size: Size) -> dict[str, Any]:
    ours.prepare(whole.phase5, home, size.seeds)
    theirs.prepare(whole.phase5_as_a_notebook, home, size.seeds)
    seconds = [(ours.seconds()[1], theirs.seconds()[1]) for _ in range(size.ends)]
    losses = [side.call(whole.last_losses) for side in (ours, theirs)]
    return {
        "end_to_end": {"ours": [a for a, _ in seconds], "theirs": [b for _, b in seconds]},
        "losses": [
            {"size": s, "seed": seed, "ours": losses[0][s, seed], "theirs": losses[1][s, seed]} for s, seed in losses[0]
        ],
    }


if __name__ == "__main__":
    main()
