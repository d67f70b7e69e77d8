"""How fast the project is, beside a notebook that does the same and beside what the machine can do.

    make bench            or: .venv/bin/python -m benchmarks.bench [--out FOLDER] [--rounds 5] [--quick]

Writes bench.md and bench.json. benchmarks/README.md says how each number is made.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import parts, registry_parts, whole
from benchmarks.timing import ROUNDS, bandwidth_ceiling, machine, matrix_ceiling, to_device_ceiling
from vad.files import replacing

# What is asked of a machine with 2 cores that compute in bf16: the part, the bar, whether more is better.
SECONDS = {
    "post-processing, all of phase 4, 11,706 frames": 0.2,
    "decision to skip a finished entry": 0.3,
    "vad --help": 0.3,
    "leaderboard of 1,000 runs": 1.5,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="one round of everything, to see that it works")
    given = parser.parse_args()
    rounds = 1 if given.quick else given.rounds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.perf_counter()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), device, rounds, given.quick)
    found["minutes"] = round((time.perf_counter() - started) / 60, 1)
    text = as_markdown(found)
    for name, content in (("bench.md", text), ("bench.json", json.dumps(found, indent=2))):
        with replacing(given.out / name) as temporary:
            temporary.write_text(content)
    print(text)


def measure(home: Path, device: torch.device, rounds: int, quick: bool) -> dict[str, Any]:
    """Every figure, as plain values."""
    found: dict[str, Any] = {"machine": machine(), "rounds": rounds, "ceilings": _ceilings(device)}
    rows = [say("decode", lambda: parts.decode(home, rounds))]
    for size, latent, batch in parts.SCALES:
        batches = 2 if quick else 8
        rows.append(say(f"training {size}", lambda: parts.training(size, latent, batch, device, rounds, batches)))  # noqa: B023
    for size, latent, batch in parts.SCALES:
        count = 64 if quick else 256
        rows.append(say(f"scoring {size}", lambda: parts.scoring(size, latent, batch, device, rounds, count)))  # noqa: B023
    found["rows"] = [asdict(row) | {"ratios": row.compared.ratios} for row in rows]
    ends = say("end to end", lambda: whole.end_to_end(home, device, 1, whole.SEEDS[:1] if quick else whole.SEEDS))
    found["end_to_end"] = {
        "ours": ends.ours,
        "theirs": ends.theirs,
        "losses": [
            {"size": size, "seed": seed, "ours": loss, "theirs": ends.their_losses[size, seed]}
            for (size, seed), loss in ends.our_losses.items()
        ],
    }
    found["seconds"] = {"post-processing, all of phase 4, 11,706 frames": registry_parts.post_processing()}
    with registry_parts.store(home):
        skipping = say("run and skip", lambda: registry_parts.run_and_skip(home))
        found["tracking_share"] = skipping["tracking_share"]
        found["seconds"]["decision to skip a finished entry"] = skipping["skip_seconds"]
    found["seconds"]["vad --help"] = registry_parts.help_seconds()
    (home / "many").mkdir()
    with registry_parts.store(home / "many"):
        runs = 50 if quick else 1000
        found["seconds"]["leaderboard of 1,000 runs"] = say(
            "leaderboard", lambda: registry_parts.leaderboard_seconds(runs)
        )
    counts = (500, 1_000, 2_000) if quick else (1_000, 10_000, 100_000)
    growth = say("growth", lambda: whole.growth(home, counts))
    found["growth"] = asdict(growth) | {"exponent": growth.exponent}
    return found


def say(what: str, work: Any) -> Any:
    started = time.perf_counter()
    result = work()
    print(f"  {what}: {time.perf_counter() - started:.0f} s", flush=True)
    return result


def _ceilings(device: torch.device) -> dict[str, float]:
    """What the machine can do at best."""
    ceilings = {
        "bf16 product, TFLOP/s": matrix_ceiling(torch.bfloat16, device) / 1e12,
        "fp32 product, TFLOP/s": matrix_ceiling(torch.float32, device) / 1e12,
        "memory, GB/s": bandwidth_ceiling(device) / 1e9,
    }
    if device.type == "cuda":
        ceilings["to the device, GB/s"] = to_device_ceiling(device) / 1e9
    return ceilings


def as_markdown(found: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = ["| part | here | notebook | ratio (median; all rounds) | bar | share of the ceiling | bar |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in found["rows"]:
        ours, theirs = (statistics.median(row["compared"][side]) for side in ("ours", "theirs"))
        low, high = min(row["ratios"]), max(row["ratios"])
        share = f"{row['share']:.0%} of {row['ceiling']}" if row["share"] is not None else ""
        wanted = f">= {row['share_bar']:.0%}" if row["share_bar"] else ""
        lines.append(
            f"| {row['part']} | {ours:,.0f} {row['unit']} | {theirs:,.0f} | {statistics.median(row['ratios']):.2f} "
            f"({low:.2f} to {high:.2f}) | >= {row['bar']:g} | {share} | {wanted} |"
        )
    ends = found["end_to_end"]
    lines.append(
        f"| phase 5 end to end, 1 epoch | {ends['ours']:.1f} s | {ends['theirs']:.1f} s | {ends['theirs'] / ends['ours']:.2f} | >= 2 | | |"
    )
    lines += ["", "| what | seconds | bar |", "|---|---|---|"]
    lines += [f"| {what} | {seconds:.3f} | < {SECONDS[what]:g} |" for what, seconds in found["seconds"].items()]
    lines.append(f"| tracking, share of a run | {found['tracking_share']:.2%} | < 1 % |")
    growth = found["growth"]
    lines += ["", "| frames | own memory at most, MB | seconds |", "|---|---|---|"]
    for count, peak, seconds in zip(growth["frames"], growth["peak"], growth["seconds"], strict=True):
        lines.append(f"| {count:,} | {peak / 1e6:,.0f} | {seconds:.1f} |")
    lines += ["", f"Time grows as the number of frames to the power of {growth['exponent']:.2f}.", ""]
    lines += ["Losses after the end-to-end run (here; notebook), by size and seed: " + ", ".join(
        f"{r['size']}/{r['seed']} {r['ours']:.4f}; {r['theirs']:.4f}" for r in ends["losses"]
    ) + ".", ""]  # fmt: skip
    about = found["machine"] | {name: f"{value:.2f}" for name, value in found["ceilings"].items()}
    lines += ["; ".join(f"{name}: {value}" for name, value in about.items()) + f". {found['rounds']} rounds, "
              f"{found.get('minutes', 0)} minutes."]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
