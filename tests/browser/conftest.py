"""A store with four finished runs, MLflow's UI on it as `vad ui` starts it, and a browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.registry.conftest import TINY, Workspace, paint_dataset

WAIT = 20_000  # milliseconds
# The width of their smoothing, in frames. Wide smears an anomaly over its video: each has an AP of its own.
ENTRIES = {"phase1_tiny": 8, "phase2_tiny": 1, "phase3_tiny": 20, "phase4_tiny": 3}


@dataclass
class Shown:
    """The UI as a person has it: the link that was printed, the store behind it."""

    link: str
    store: Workspace

    @property
    def address(self) -> str:
        return self.link.partition("/#")[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def store(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A working folder in which four entries ran on the same data; the first trains for all."""
    folder = tmp_path_factory.mktemp("browser")
    paint_dataset(folder / "data")
    (folder / "experiments").mkdir()
    for name, width in ENTRIES.items():
        text = TINY.replace("name: tiny", f"name: {name}").replace("gaussian: 1", f"gaussian: {width}")
        (folder / "experiments" / f"{name}.yaml").write_text(text)
    opened = Workspace(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("VAD_HOME", raising=False)
        patch.chdir(folder)
        opened.done("run", *ENTRIES, "--data", "data")
        torch.set_num_threads(threads)
        yield opened


@pytest.fixture(scope="module")
def shown(store: Workspace) -> Iterator[Shown]:
    """The UI, started and stopped as a person does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "registry.cli", "ui", "--port", str(port), "--no-open"]
    process = subprocess.Popen(command, cwd=store.folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        link = re.search(r"http\S+", line)
        assert link, line
        yield Shown(link[0], store)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A new page of somebody who closed MLflow's assistant, which opens by itself once."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
    context.set_default_timeout(WAIT)
    yield context.new_page()
    context.close()


@pytest.fixture
def keep(page: Any) -> Callable[[str], None]:
    """Save what the page shows in the folder `VAD_SCREENSHOTS`, where that is set."""

    def save(name: str) -> None:
        if folder := os.environ.get("VAD_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{name}.png")

    return save
