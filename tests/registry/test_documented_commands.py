"""The commands that README and docs show, run one after the other in a project folder as a reader would."""

import re
import shlex
import shutil
from pathlib import Path

from registry.data.datasets import DEMO
from tests.registry.conftest import paint_dataset
from tests.test_docs import PAGES, dry_run, shown_commands

ROOT = Path(__file__).parents[2]
# Those that stay until Ctrl-C, ask the network, or want another machine.
NOT_HERE = {"serve", "ui", "reproduce"}
SUITES = PAGES["docs/suites.md"]
# The tests' tiny networks in the place of the experiment that the pages name.
ENTRY = "phase5_multiscale"


def runnable(folder):
    """Each `vad` command of the pages once, in their order, with its page."""
    seen = []
    for page, words in shown_commands():
        if words[0] == "make":
            called = [line for line in dry_run(folder, *words[1:]) if " -m registry.cli " in line]
            words = shlex.split(called[-1].partition(" -m ")[2]) if called else ["make", ""]
        foreign = NOT_HERE | {"--kaggle", "all", "journey", "my_first", "ray", "VERSION", ""}
        if words[1:] not in [other for _, other in seen] and not foreign & set(words[1:]):
            seen.append((page, words[1:]))
    return seen


def test_the_commands_of_the_pages_work_in_their_order(workspace, tmp_path, demo_street):
    (tmp_path / "make").mkdir()
    tiny = (workspace.folder / "experiments" / "tiny.yaml").read_text()
    entry = tiny.replace("name: tiny", f"name: {ENTRY}").replace("small_only:", "equal:")
    (workspace.folder / "experiments" / f"{ENTRY}.yaml").write_text(entry)
    shutil.copy(ROOT / "experiments" / "phase6_fused.yaml", workspace.folder / "experiments")
    labels = (workspace.folder / "data" / "labels.csv").read_text().replace("\n3_", "\n8_")
    (workspace.folder / "labels.csv").write_text(labels)
    shutil.move("data", "avenue")
    (workspace.folder / ".vad").mkdir()
    (workspace.folder / ".vad" / DEMO).symlink_to(demo_street)
    shutil.move("avenue/Dataset/testing_videos/03", "avenue/Dataset/testing_videos/08")
    (workspace.folder / "avenue" / "labels.csv").write_text(labels)
    paint_dataset(workspace.folder / "gate", seed=1)
    (workspace.folder / "suite.yaml").write_text(re.search("```yaml\n(# suite.yaml\n.*?)```", SUITES, re.DOTALL)[1])
    commands = runnable(tmp_path / "make")
    assert len(commands) >= 20
    # A reader of any page has run the experiment first; twice, so that there is something to compare and to go back to.
    workspace.done("run", ENTRY, "--data", "avenue")
    workspace.done("run", ENTRY, "--data", "avenue", "--set", "train.epochs=1")
    workspace.done("submit", "--model", "v1", "--data", "avenue", "--out", "submissions/avenue-v3.csv")
    shutil.copy("submissions/avenue-v3.csv", "predictions.csv")
    for page, words in commands:
        if words[0] == "run" and not {"avenue", "--suite"} & set(words):
            continue  # the demo street, which other tests make
        result = workspace.vad(*words, *(["--yes"] if "gc" in words and "--dry-run" not in words else []))
        assert result.exit_code == 0, f"{page}: vad {' '.join(words)}\n{result.output}"
