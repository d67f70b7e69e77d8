"""Results as text for a terminal."""

from registry.console import plural, table
from registry.runs.result import Result
from vad.measures.metrics import Measured


def as_text(result: Result) -> str:
    """A run's variants best first, where the run is, what was registered, and what to do next."""
    name = "AP" if result.figure == "ap" else "proxy AP"
    rows = []
    for variant, m in result.variants.items():
        mark = "*" if variant == result.best else ""
        reference = f"{result.reference[variant]:.4f}" if variant in result.reference else "-"
        if m is None:
            rows.append([mark, variant, "-", "-", "-", reference])
        else:
            rows.append([mark, variant, f"{m.ap:.4f}", interval(m), f"{m.auc:.4f}", reference])
    auc = "AUC" if result.figure == "ap" else "proxy AUC"
    parts = ["", table(["", "variant", name, "95 % interval", auc, "reference AP"], rows, right=(2, 4, 5)), ""]
    if top := result.variants[result.best]:
        pooled = f"{plural(top.frames, 'frame')}, {plural(top.videos, 'video')}"
        parts.append(f"prevalence {top.prevalence:.4f} (the AP of random scores), {pooled}")
    if result.figure == "proxy_ap":
        parts.append("No labels: proxy AP is measured on painted anomalies and is not the AP of the test frames.")
    if result.profile == "demo":
        parts.append("Demo profile: these figures show that all works; they say nothing about real footage.")
    parts += [f"run    {result.run_id}  {result.link}", f"model  {result.registered}", ""]
    parts += ["next   make ui                          the leaderboard in a browser"]
    parts += ["       make leaderboard                 the same in the terminal"]
    if result.version is not None:
        parts += [f"       {f'make submit MODEL=v{result.version}':<32} predictions by this run's model"]
    return "\n".join(parts)


def interval(m: Measured) -> str:
    """The interval, or a dash where there is one video: drawing it again and again says nothing."""
    return f"{m.low:.4f} to {m.high:.4f}" if m.videos > 1 else "-"


def measured_text(m: Measured) -> str:
    return "\n".join(
        [
            f"AP          {m.ap:.4f}  (95 % interval {interval(m)}, bootstrap over {plural(m.videos, 'video')})",
            f"AUC         {m.auc:.4f}",
            f"prevalence  {m.prevalence:.4f}  ({m.frames:,} frames)",
        ]
    )
