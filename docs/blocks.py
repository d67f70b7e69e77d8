"""Write docs/blocks.md from the catalogs: `python -m docs.blocks`."""

import inspect
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from vad.catalog import Catalog, Within
from vad.detectors.bank_detector import BankDetector
from vad.detectors.banks import BANKS
from vad.detectors.networks import ERRORS, INITS, NETWORKS
from vad.detectors.networks.reconstruction_errors import MAPS
from vad.detectors.training.losses import LOSSES
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.inputs import INPUTS
from vad.repair import REPAIRS
from vad.scoring.reductions import REDUCTIONS
from vad.scoring.steps import COMBINING, FITS, STEPS, TRAIN_FITS

PAGE = Path(__file__).with_name("blocks.md")
HEAD = """\
# Blocks

<!-- Made by `python -m docs.blocks` from the code; do not edit. -->

Every block that an entry may name, with its options. An option without a default must be given. [Write an experiment](experiments.md) shows
where each kind goes; [Add a network, a step or a loss](extending.md) shows how to write your own.
"""
SECTIONS: tuple[tuple[str, str, Catalog[Any]], ...] = (
    ("Repairs", "`repair`: one, or a list of them in their order; for test frames only.", REPAIRS),
    (
        "Networks",
        "`members.GROUP.model`; options are written next to it in the group, with `batch_size` and `seeds`.",
        NETWORKS,
    ),
    (
        "Banks",
        "`members.GROUP.model`, too: models that keep samples of train frames. They are not trained, so the group has no `batch_size`, "
        "`seeds`, `init` or `train`.",
        BANKS,
    ),
    ("Inputs", "`members.GROUP.input`", INPUTS),
    ("First weights", "`members.GROUP.init`; without it PyTorch's own.", INITS),
    ("Losses", "`train.loss`: one, or a weighted sum such as `{mse: 1, ssim: 0.5}`.", LOSSES),
    ("Optimizers", "`train.optimizer`", OPTIMIZERS),
    ("Schedules", "`train.schedule`", SCHEDULES),
    (
        "Errors",
        "`streams.STREAM.error`: how a network's frames are scored, map and reduction in one, as the reference has them.",
        ERRORS,
    ),
    (
        "Reductions",
        "`streams.STREAM.reduce`, instead of an error: how an anomaly map ([which](#maps)) becomes one number a frame.",
        REDUCTIONS,
    ),
    ("Steps", "`streams.STREAM.steps` and `variants.VARIANT.steps`, in the order in which they are listed.", STEPS),
)
MAPS_HEAD = f"""
## Maps

`streams.STREAM.map`, with `reduce`: how anomalous each pixel or cell is. Without it a network's is `{next(iter(MAPS))}`, a bank's
`{BankDetector.maps[0]}`. With `calibrate: true`, each pixel or cell of each channel is measured by what train frames have there: less
their mean, over their deviation.
"""
FUSIONS = """
## Fusions

`variants.VARIANT.fuse`, of streams: `{max: [small, large]}`, `{mean: [small, large]}`, `{product: [small, large]}`, `{weights: {small: 0.3, large: 0.7}}`, or
`{noisy_or: [small, large]}`, 1 - (1 - p) (1 - q) ..., of scores from 0 to 1, such as those after `train_rank`.
"""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for title, where, catalog in SECTIONS:
        parts.append(f"\n## {title}\n\n{where}\n")
        parts += [_block(catalog, name) for name in catalog.names()]
        if catalog is REDUCTIONS:
            parts.append(_maps())
    return "".join([*parts, FUSIONS])


def _maps() -> str:
    """The section of maps, which belong to kinds of models."""
    of_networks = [f"| `{name}` | networks | {inspect.getdoc(made)} |" for name, made in MAPS.items()]
    of_banks = [
        f"| `{name}` | banks | How far each cell is from the bank; see the bank. |" for name in BankDetector.maps
    ]
    return "\n".join([MAPS_HEAD, "| map | of | value |", "|---|---|---|", *of_networks, *of_banks, ""])


def _block(catalog: Catalog[Any], name: str) -> str:
    text = f"\n### {name}\n\n{inspect.getdoc(catalog[name])}\n"
    if catalog is STEPS and name in COMBINING:
        text += "\nCombines the members of a stream.\n"
    if catalog is STEPS and name in FITS:
        text += "\nTakes statistics of the test frames; a registered model keeps those of its run.\n"
    if catalog is STEPS and name in TRAIN_FITS:
        text += "\nTakes statistics of train frames; a registered model keeps them.\n"
    if options := catalog.options(name):
        rows = [f"| `{key}` | {_type(o.annotation)} | {_default(o)} |" for key, o in options.items()]
        text += "\n".join(["", "| option | value | default |", "|---|---|---|", *rows, ""])
    return text


def _default(option: inspect.Parameter) -> str:
    if option.default is option.empty:
        return "required"
    if option.default is None:
        return "none"
    return f"`{str(option.default).lower() if isinstance(option.default, bool) else option.default}`"


def _type(annotation: Any) -> str:
    """An option's annotation in words."""
    if hasattr(annotation, "__metadata__"):
        bounds = [_bounds(extra) for extra in annotation.__metadata__ if isinstance(extra, Within)]
        return " ".join([_type(annotation.__origin__), *bounds])
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type(choice) for choice in get_args(annotation) if choice is not type(None))
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    return {int: "whole number", float: "number", bool: "`true` or `false`", str: "text"}[annotation]


def _bounds(within: Within) -> str:
    said = [
        f"above {within.above:g}" if within.above is not None else "",
        f"at least {within.low:g}" if within.low is not None else "",
        f"at most {within.high:g}" if within.high is not None else "",
        "odd" if within.odd else "",
    ]
    return ", ".join(filter(None, said))


if __name__ == "__main__":
    PAGE.write_text(page())
