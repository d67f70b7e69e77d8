"""MLflow's own UI as people see it, in a real browser: the leaderboard, a run with its pictures, the registered model."""

import json
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
from click.testing import CliRunner

from registry.cli import main
from registry.store.tracking import Tracking
from tests.registry.conftest import draw_coarsely

WAIT = 20_000  # milliseconds
# The width of their smoothing, in frames. Wide smears an anomaly over its video: each has an AP of its own.
ENTRIES = {"phase1_tiny": 8, "phase3_tiny": 20, "phase4_tiny": 3}


@dataclass
class Store:
    """A working folder, and `vad` in it."""

    folder: Path

    def vad(self, *arguments: str) -> str:
        result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return str(result.stdout)


@dataclass
class Shown:
    """The UI as a person has it: the link that was printed, the store behind it."""

    link: str
    store: Store

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
def store(browser: Any, finished_folder: Path) -> Iterator[Any]:
    """A workspace in which four entries ran on the same data; three fuse the members of the first."""
    folder = finished_folder
    text = (folder / "experiments" / "tiny.yaml").read_text()
    for name, width in ENTRIES.items():
        entry = text.replace("name: tiny", f"name: {name}").replace("gaussian: 1", f"gaussian: {width}")
        (folder / "experiments" / f"{name}.yaml").write_text(entry)
    opened = Store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("VAD_HOME", raising=False)
        patch.chdir(folder)
        draw_coarsely(patch)
        opened.vad("run", *ENTRIES, "--data", "data")
        yield opened


@pytest.fixture(scope="module")
def shown(store: Store) -> Iterator[Shown]:
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


# A row of the table lies in two containers, a fixed one and one that scrolls; they share the row's number.
_TABLE = """(names) => {
  const columns = Object.fromEntries([...document.querySelectorAll('[role=columnheader][col-id]')]
    .map(head => [head.innerText.trim(), head.getAttribute('col-id')]));
  const rows = {};
  for (const cell of document.querySelectorAll('[role=gridcell][col-id]')) {
    const row = cell.closest('[row-index]').getAttribute('row-index');
    (rows[row] ??= {})[cell.getAttribute('col-id')] = cell.innerText.trim();
  }
  return Object.keys(rows).sort((a, b) => a - b).map(row => names.map(name => rows[row][columns[name]]));
}"""


@pytest.fixture
def board(shown):
    """The leaderboard of the command line, best first."""
    return json.loads(shown.store.vad("leaderboard", "--json"))


@pytest.fixture
def opened(shown, board, page):
    """The page that the printed link opens, once its table is there."""
    page.goto(shown.link)
    page.get_by_role("link", name=board[-1]["entry"], exact=True).wait_for()
    return page


def test_the_printed_link_opens_the_leaderboard(opened, board, keep):
    opened.get_by_role("columnheader", name=board[0]["figure"], exact=True).first.wait_for()
    rows = [
        (name.split()[-1], float(value)) for name, value in opened.evaluate(_TABLE, ["Run Name", board[0]["figure"]])
    ]
    keep("leaderboard")
    # Entries alone: where members are not folded, their rows follow.
    assert [name for name, _ in rows] == [row["entry"] for row in board]
    assert [value for _, value in rows] == pytest.approx([row["value"] for row in board], abs=5e-5)
    assert len({value for _, value in rows}) == len(rows) > 3, "an order of equals shows nothing"


def test_a_run_shows_hypothesis_result_and_pictures(opened, shown, board, tmp_path, keep):
    opened.get_by_role("link", name=board[0]["entry"], exact=True).click()
    opened.get_by_text("A red box does not belong here.").first.wait_for()
    if (more := opened.get_by_text("Show more", exact=True)).count():
        more.first.click()
    opened.get_by_text(re.compile(rf"{board[0]['value']:.4f}(?!\d)")).first.wait_for()
    keep("run")

    opened.get_by_role("tab", name="Artifacts").click()
    opened.get_by_text("pictures", exact=True).click()
    opened.get_by_text("timelines.png", exact=True).click()
    # The viewer fetches a file and shows it from memory: the picture is known by its width.
    path = Tracking().fetch(board[0]["run_id"], "pictures/timelines.png", tmp_path)
    width = int.from_bytes(path.read_bytes()[16:20])
    opened.wait_for_function(f"[...document.images].some(image => image.naturalWidth == {width})")
    keep("picture")


def test_the_model_page_shows_versions_and_production(shown, board, page, keep):
    page.goto(f"{shown.address}/#/models/vad-ensemble?workflowType=machine_learning")
    page.get_by_role("heading", name="vad-ensemble").wait_for()
    page.get_by_role("link", name="Version 1", exact=True).wait_for()
    keep("model")
    rows = [row.inner_text().split("\n") for row in page.get_by_role("row").all()]
    shown_aliases = {row[0]: {line[1:].strip() for line in row if line.startswith("@")} for row in rows[1:]}
    numbers = {f"Version {row['model'].split()[0].removeprefix('v')}": {*row["model"].split()[1:]} for row in board}
    assert shown_aliases == numbers
    assert sum("production" in aliases for aliases in numbers.values()) == 1
