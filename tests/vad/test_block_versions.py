"""What each block of the project gives is on record, so that nobody changes it without raising its version.

python -m tests.vad.test_block_versions        records what has a new version, or is new
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import needs_features
from vad.catalog import Catalog, Named
from vad.data.frame_index import FrameIndex
from vad.detectors.banks import BANKS
from vad.detectors.member import SCORING_CODE, TRAINING_CODE
from vad.detectors.network_detector import NetworkScorer
from vad.detectors.networks import ERRORS, INITS, NETWORKS, build
from vad.detectors.training.losses import LOSSES
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.images.decode import RESIZE_FILTER, resize
from vad.images.view import square
from vad.inputs import INPUTS
from vad.repair import REPAIRS, fit
from vad.scoring.frame_scores import Way, score
from vad.scoring.reductions import REDUCTIONS
from vad.scoring.steps import FITS, STEPS, TRAIN_FITS
from vad.user_code import _PROJECT

RECORD = Path(__file__).with_name("block_outputs.json")
CPU = torch.device("cpu")
KEPT = 12  # values of each output, evenly spread
# What a block needs that has no default.
OPTIONS = {
    "latent": 4, "hidden": 3, "value": "nearest", "sigma": 2.0, "window": 5, "alpha": 0.3, "t_0": 2, "step_size": 2,
}  # fmt: skip
# A bright square that walks over a shaded ground, in videos of 10 and 9 frames.
FRAMES = np.add.outer(np.zeros(19, np.uint8), np.add.outer(np.arange(32), 2 * np.arange(32))[..., None] + [10, 20, 30])
for number, frame in enumerate(FRAMES):
    frame[number : number + 8, 12:20] = 230
FRAMES = FRAMES.astype(np.uint8)
INDEX = FrameIndex(np.repeat([1, 2], [10, 9]), np.concatenate([np.arange(10), np.arange(9)]))
RECIPE = Training("mse", "adam", 1e-3, 0.0, None, 2, None, 0.0, "best", "fp32", 4)


def options_of(catalog: Catalog[Callable[..., object]], name: str) -> dict[str, object]:
    return {key: OPTIONS[key] for key, option in catalog.options(name).items() if option.default is option.empty}


def images(seed: int) -> Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def of_step(name: str) -> object:
    values = np.random.default_rng(1).gamma(2.0, 1.0, (2, len(INDEX)))
    values[:, [0, 7]] = np.nan if name == "fill" else values[:, [0, 7]]
    takes = FITS | TRAIN_FITS
    fitted = [takes[name](values, **options_of(STEPS, name))] if name in takes else []
    return STEPS[name](values, INDEX.spans, *fitted, **STEPS.bind(name, options_of(STEPS, name)))


def of_network(name: str) -> object:
    sample = {"frame": (3, 3, 32, 32), "clip": (2, 3, 8, 32, 32), "sequence": (2, 4, 3, 32, 32)}
    shapes = {"frame": INPUTS["rgb"](), "clip": INPUTS["clip"](), "sequence": INPUTS["sequence"](frames=4)}
    takes = NETWORKS[name].takes
    network = build(name, shapes[takes].shape(square(32)), options_of(NETWORKS, name), 1).eval()
    with torch.no_grad():
        return network(torch.rand(sample[takes], generator=torch.Generator().manual_seed(2)))


def of_bank(name: str) -> object:
    """Distances of some cells from a bank of others."""
    cells = torch.rand(12, 5, 4, 6, generator=torch.Generator().manual_seed(4))
    bank = BANKS[name](**BANKS.bind(name, {}))
    return bank.distances(cells[8:], bank.prepare(cells[bank.keep(cells[:8])]), None)


def of_repair(name: str) -> object:
    """Train frames of a shaded ground; a test frame as it is, and its mirror image."""
    frames = FRAMES.transpose(0, 2, 1, 3) // 2 + 3 * np.arange(32, dtype=np.uint8)[:, None, None]
    sketch = REPAIRS[name]().sketch
    (repair,) = fit([REPAIRS.named(name, {})], [np.stack([sketch.see(frame) for frame in frames])], INDEX)
    found = [repair.apply(image) for image in (frames[3], np.ascontiguousarray(frames[3][::-1]))]
    return np.concatenate([np.append(image.ravel(), evidence) for image, evidence in found])


def of_input(name: str) -> object:
    made = INPUTS[name](**({"cell": 8} if name.endswith(("_cells", "_cubes")) else {}))
    # A region is what moves by a pixel a frame and more: four times as large, the square does.
    frames = FRAMES.repeat(4, 1).repeat(4, 2) if name in ("region_cells", "crop_features") else FRAMES
    samples = made.samples(frames if made.colour == "rgb" else frames[..., 0].copy(), INDEX, CPU)
    given, target = samples.batch(np.arange(len(samples))[-2:])
    return torch.cat([given.flatten(), target.flatten()])


def of_optimizer(name: str) -> object:
    weights = nn.Parameter(images(3))
    optimizer = OPTIMIZERS[name]([weights], 1e-2, 0.1)
    for number in range(3):
        weights.grad = images(number)
        optimizer.step()
    return weights.detach()


def of_schedule(name: str) -> object:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 1.0)
    schedule = SCHEDULES[name](optimizer, 8, **SCHEDULES.bind(name, options_of(SCHEDULES, name)))
    rates = []
    for _ in range(12):
        optimizer.step()
        schedule.step(*([1.0] if name == "plateau" else []))
        rates.append(optimizer.param_groups[0]["lr"])
    return np.array(rates)


def of_init(name: str) -> object:
    network = build("conv_ae", INPUTS["rgb"]().shape(square(32)), {"latent": 4}, 1, INITS.named(name, {}))
    return torch.cat([values.flatten() for values in network.state_dict().values()])


def network_of_two() -> nn.Module:
    return build("fully_conv_ae", INPUTS["rgb"]().shape(square(32)), {}, 1)


def trained() -> object:
    network = network_of_two()
    done = train(network, INPUTS["rgb"]().samples(FRAMES, INDEX, CPU), RECIPE, 1, CPU)
    return np.array([epoch.loss for epoch in done.epochs])


def scored() -> object:
    error = Named("mean")
    return score(
        Way(NetworkScorer(network_of_two(), "fp32", CPU), {}),
        INPUTS["rgb"]().samples(FRAMES, INDEX, CPU),
        [error],
        len(INDEX),
    )[error]


KINDS = {
    STEPS: of_step,
    REDUCTIONS: lambda name: REDUCTIONS[name](images(0), **REDUCTIONS.bind(name, {})),
    REPAIRS: of_repair,
    BANKS: of_bank,
    ERRORS: lambda name: ERRORS[name](images(0), images(1), **ERRORS.bind(name, {})),
    LOSSES: lambda name: LOSSES[name](images(0), images(1)),
    INPUTS: of_input,
    NETWORKS: of_network,
    OPTIMIZERS: of_optimizer,
    SCHEDULES: of_schedule,
    INITS: of_init,
}


def blocks() -> Iterator[tuple[str, int | str, Callable[[], object]]]:
    """Name, version and output of everything that a digest knows by a version."""
    yield "training", TRAINING_CODE, trained
    yield "scoring", SCORING_CODE, scored
    yield "resizing", RESIZE_FILTER, lambda: resize(FRAMES[0], 20, 20)
    for catalog, output in KINDS.items():
        for name in catalog.names():
            if catalog[name].__module__ in _PROJECT:
                yield f"{catalog.kind} {name}", catalog._versions[name], lambda out=output, name=name: out(name)


def spread(output: object) -> list[float]:
    """A few values of an output, and how large it is."""
    values = np.asarray(output, dtype=np.float64).ravel()
    places = np.linspace(0, len(values) - 1, min(KEPT, len(values))).round().astype(int)
    return [len(values), float(f"{np.abs(values).mean():.10g}"), *(float(f"{value:.10g}") for value in values[places])]


@pytest.mark.parametrize(
    ("name", "version", "output"),
    [pytest.param(*b, id=b[0], marks=needs_features if b[0].endswith("_features") else ()) for b in blocks()],
)
def test_what_it_gives_is_what_its_version_gave(name, version, output):
    known = json.loads(RECORD.read_text()).get(name)
    assert known, f"{name} is new: `python -m tests.vad.test_block_versions` records what it gives"
    assert known["version"] == version, (
        f"{name} has another version: `python -m tests.vad.test_block_versions` records it"
    )
    near = 1e-9 if name.startswith(("step", "schedule")) else 2e-3  # networks differ a little between processors
    np.testing.assert_allclose(
        spread(output()), known["gives"], rtol=near, atol=near / 10,
        err_msg=f"{name} gives something else; raise its version, so that what was made before is not taken for this",
    )  # fmt: skip


def main() -> None:
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name, version, output in blocks():
        if known.get(name, {}).get("version") != version:
            known[name] = {"version": version, "gives": spread(output())}
            print(f"recorded {name}")
    lines = [f"{json.dumps(name)}: {json.dumps(about)}" for name, about in sorted(known.items())]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
