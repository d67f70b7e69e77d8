"""The figures as Markdown, each beside what was asked of a machine with two cores that compute in bf16.

On one that does not, beside what it can reach.
"""

import statistics
from typing import Any

# Ratio to the notebook, and share of the ceiling.
_BARS: dict[str, tuple[float, float | None]] = {
    "decode": (2.5, 0.7),
    "training, 64 px": (1.6, None),
    "training, 128 px": (1.6, 0.4),
    "training, 256 px": (1.6, None),
    "scoring, 64 px": (2.5, None),
    "scoring, 128 px": (2.5, None),
    "scoring, 256 px": (2.5, None),
    "phase 5 from files to scores": (2, None),
}
_WITHOUT_BF16 = (
    'This processor has no bf16, so the networks compute in fp32, as the notebook\'s do. "At most" is the ratio that all of '
    "the fp32 product would give. Of a processor with bf16 were asked 1.6 for training (40% of the product at 128 px), "
    "2.5 for scoring and 2 for phase 5."
)
_SECONDS = {
    "post_processing": ("post-processing of 11,706 frames, all variants of phase 4", 0.2),
    "skip": ("decision to skip a finished experiment", 0.3),
    "help": ("`vad --help`", 0.3),
    "leaderboard": ("`vad leaderboard` over 1,000 runs", 1.5),
}


def as_markdown(found: dict[str, Any]) -> str:
    """All tables."""
    return "\n\n".join([_parts(found), _costs(found), _growth(found), _losses(found), _machine(found)]) + "\n"


def _parts(found: dict[str, Any]) -> str:
    lines = [
        "| part | here, frames/s | notebook | ratio (lowest to highest) | asked | share of the ceiling | asked |",
        "|---|---|---|---|---|---|---|",
    ]
    native = found["precision"] == "bf16"
    for row in found["rows"]:
        lines.append(_line(row["part"], "", f"{row['ours']:,.0f}", f"{row['theirs']:,.0f}", row, native))
    end = found["end_to_end"]
    here, there = (f"{statistics.median(end[side]):.1f} s" for side in ("ours", "theirs"))
    ratios = [b / a for a, b in zip(end["ours"], end["theirs"], strict=True)]
    lines.append(
        _line("phase 5 from files to scores", f", {end['work']}", here, there, {**end, "ratios": ratios}, native)
    )
    return "\n".join(lines) + ("" if native else f"\n\n{_WITHOUT_BF16}")


def _line(part: str, more: str, here: str, there: str, row: dict[str, Any], native: bool) -> str:
    """A part, and what was asked of it; without bf16, how far the processor lets a part go that consists of products."""
    ratio, share = _BARS[part]
    asked, asked_share = f"{ratio:g}", f"{share:.0%}" if share else ""
    if not native and part != "decode":
        asked, asked_share = f"at most {statistics.median(row['ratios']) / row['share']:.2f}", ""
    return (
        f"| {part}{more} | {here} | {there} | {_spread(row['ratios'])} | {asked} "
        f"| {row['share']:.0%} of {row['of']} | {asked_share} |"
    )


def _costs(found: dict[str, Any]) -> str:
    lines = ["| cost | seconds | asked |", "|---|---|---|"]
    lines += [
        f"| {_SECONDS[key][0]} | {value:.3f} | < {_SECONDS[key][1]:g} |" for key, value in found["seconds"].items()
    ]
    lines.append(f"| tracking, share of a run (epochs: {found['epochs']}) | {found['tracking_share']:.2%} | < 1 % |")
    return "\n".join(lines)


def _growth(found: dict[str, Any]) -> str:
    growth = found["growth"]
    lines = ["| frames | own memory at most, MB | seconds |", "|---|---|---|"]
    for count, peak, seconds in zip(growth["frames"], growth["peak"], growth["seconds"], strict=True):
        lines.append(f"| {count:,} | {peak / 1e6:,.0f} | {seconds:.1f} |")
    return "\n".join(lines) + f"\n\nTime grows as the number of frames to the power of {growth['exponent']:.2f}."


def _losses(found: dict[str, Any]) -> str:
    lines = ["| loss after the epoch of the end-to-end run | here | notebook |", "|---|---|---|"]
    lines += [f"| {r['size']} px, seed {r['seed']} | {r['ours']:.4f} | {r['theirs']:.4f} |" for r in found["losses"]]
    return "\n".join(lines)


def _machine(found: dict[str, Any]) -> str:
    about = found["machine"] | {name: f"{value:.2f}" for name, value in found["ceilings"].items()}
    text = "; ".join(f"{name}: {value}" for name, value in about.items())
    return f"{text}. Medians of {found['rounds']} rounds; {found.get('minutes', 0)} minutes."


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
