"""Phase 5 at the competition's full size on a GPU, and a notebook's loop on the same one.

    python -m benchmarks.gpu                                                    on an H100: asked are 120 s once decoded, and 10 x
    python -m benchmarks.gpu --train 64 --test 64 --epochs 1 --sizes 64         to see that it works, on any machine

Needs torch (2.11 or newer), NumPy, SciPy and OpenCV, and of the project `vad/` and `benchmarks/`. Makes its own footage: the demo
street's frames, moved and brightened anew for every frame, as JPEG files of 640 x 360.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import ceilings, notebook, parts
from vad.data.frameset import Split
from vad.data.layouts import read_frameset
from vad.detectors.base import Trained
from vad.detectors.networks import place
from vad.detectors.training.optimizers import OPTIMIZERS
from vad.detectors.training.train_step import make_step
from vad.detectors.training.trainer import train
from vad.frames.store import Frames, SplitSource, open_frames
from vad.images.decode import read_image
from vad.images.view import View, square
from vad.system.precision import for_training
from vad.system.threads import available

TRAIN, TEST, EPOCHS, AT_ONCE = 9_204, 11_706, 25, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=TRAIN, help="train frames")
    parser.add_argument("--test", type=int, default=TEST, help="test frames")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="members that are trained at the same time")
    parser.add_argument("--batches", type=int, default=30, help="batches of the notebook's loop and of ours beside it")
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often the two are timed, after one round of warming up"
    )
    parser.add_argument(
        "--home", type=Path, help="folder for footage and frames, kept for the next time; else a temporary one"
    )
    parser.add_argument("--sizes", type=int, nargs="+", choices=parts.SIZES, default=parts.SIZES)
    given = parser.parse_args()
    scales = [scale for scale in parts.SCALES if scale[0] in given.sizes]
    device = parts.device()
    settings = {name: value for name, value in vars(given).items() if name != "home"}
    found: dict[str, object] = {"machine": ceilings.machine(), **settings}
    with contextlib.ExitStack() as stack:
        home = given.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with timed(found, "footage made"):
            footage = make_footage(home, given.train, given.test)
        splits = read_frameset(footage, home / "index")
        with timed(found, "decoded"):
            maps = [
                open_frames(SplitSource(split), map(square, given.sizes), home / "frames")
                for split in (splits.train, splits.test)
            ]
        with timed(found, "trained and scored"):
            found["losses"] = phase5(
                scales, maps[0], maps[1], given.epochs, given.at_once if device.type == "cuda" else 1
            )
        precision = for_training("auto", device)
        peak = ceilings.product(precision, device, 8192 if device.type == "cuda" else 2048)
        found |= {"precision": precision, f"{precision} product, TFLOP/s": peak / 1e12}
        found["scales"] = [beside_a_notebook(maps[0], scale, given.batches, given.rounds, peak) for scale in scales]
    print(json.dumps(found, indent=2))


@contextlib.contextmanager
def timed(found: dict[str, object], what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    found[f"{what}, s"] = round(time.perf_counter() - started, 2)
    print(f"{what}: {found[f'{what}, s']} s", flush=True)


def make_footage(home: Path, train_frames: int, test_frames: int) -> Path:
    """A folder in the competition's layout, of videos of about 500 frames."""
    split: Split = parts.street(home).train
    images = [read_image(path) for video in split.videos for path in (video.images or ())[::6]]
    root = home / "footage"

    def draw(task: tuple[str, int, int]) -> None:
        kind, video, number = task
        generator = np.random.default_rng([len(kind), video, number])
        image = images[(video * 7 + number // 4) % len(images)]
        moved = np.roll(image, generator.integers(-20, 21, 2), (0, 1))
        light = np.clip(moved.astype(np.int16) + generator.integers(-12, 13), 0, 255).astype(np.uint8)
        folder = root / f"{kind}_videos" / f"{video:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"frame_{number:05d}.jpg"), light[..., ::-1])

    tasks = [
        (kind, 1 + n // 500, n % 500) for kind, count in (("training", train_frames), ("testing", test_frames)) for n in range(count)
    ]  # fmt: skip
    with ThreadPoolExecutor(available()) as pool:
        list(pool.map(draw, tasks))
    return root


Scale = tuple[int, int, int]


def phase5(
    scales: Sequence[Scale], trains: dict[View, Frames], tests: dict[View, Frames], epochs: int, at_once: int
) -> dict[str, list[float]]:
    """Train and score the members of these scales; the losses of each one's epochs. The slowest begin."""
    device = parts.device()

    def member(scale: Scale, seed: int) -> Trained:
        size, latent, batch = scale
        stream = torch.cuda.stream(torch.cuda.Stream()) if device.type == "cuda" else contextlib.nullcontext()
        with stream:
            net = parts.network(size, latent, seed)
            trained = train(net, parts.samples_of(trains[square(size)]), parts.recipe(batch, epochs), seed, device)
            parts.score_all(net, parts.samples_of(tests[square(size)]))
        return trained

    with ThreadPoolExecutor(at_once) as pool:
        jobs = {(scale[0], seed): pool.submit(member, scale, seed) for scale in scales[::-1] for seed in parts.SEEDS}
    return {f"{size}-{seed}": [round(e.loss, 6) for e in job.result().epochs] for (size, seed), job in jobs.items()}


def beside_a_notebook(
    frames: dict[View, Frames], scale: Scale, batches: int, rounds: int, peak: float
) -> dict[str, float]:
    """Frames a second of training, ours and the notebook's in turn, and ours as a share of the matrix product."""
    size, latent, batch = scale
    device, count = parts.device(), min(len(frames[square(size)]), scale[2] * max(batches, 1))
    net, samples = parts.network(size, latent), parts.samples_of(np.array(frames[square(size)][:count]))
    samples.settle()
    recipe = parts.recipe(min(batch, count))
    place(net, device)
    optimizer = OPTIMIZERS["adam"](net.parameters(), recipe.lr, 0.0)
    step = make_step(net.train(), recipe, optimizer, for_training(recipe.precision, device), device)
    trainer = notebook.Trainer(
        parts.network(size, latent), parts.as_floats(np.array(frames[square(size)][:count])), batch, device
    )
    order = np.arange(count, dtype=np.intp)

    def ours() -> int:
        for start in range(0, count - recipe.batch_size + 1, recipe.batch_size):
            step(samples.batch(order[start : start + recipe.batch_size]))
        return count // recipe.batch_size * recipe.batch_size

    def theirs() -> int:
        trainer.epoch()
        return count

    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, rate in zip((ours, theirs), rates, strict=True):
            started = time.perf_counter()
            done = work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:
                rate.append(done / (time.perf_counter() - started))
    mine, other = (float(np.median(rate)) for rate in rates)
    operations = 3 * parts.operations(parts.network(size, latent), size)
    return {
        "size": size,
        "frames/s": mine,
        "notebook, frames/s": other,
        "ratio": mine / other,
        "share of the product": mine * operations / peak,
    }


if __name__ == "__main__":
    main()
