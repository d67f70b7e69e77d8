"""README and documentation keep what they promise: commands, links and snippets are right, and made pages are up to date."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from docs import blocks
from registry.cli import main
from vad.detectors.networks import NETWORKS, build
from vad.detectors.training.losses import LOSSES, weighted_loss
from vad.inputs.shape import Shape
from vad.scoring.steps import STEPS

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
PAGES = {
    str(path.relative_to(PROJECT)): path.read_text()
    for path in [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
}


def test_the_readme_is_short():
    assert len((PROJECT / "README.md").read_bytes()) <= 8000


def test_every_page_is_in_the_navigation_and_linked_from_the_readme():
    pages = {path.name for path in DOCS.glob("*.md")}
    navigation = (PROJECT / "mkdocs.yml").read_text()
    readme = PAGES["README.md"]
    for page in pages:
        assert f": {page}\n" in navigation and f"(docs/{page})" in readme, page


def test_links_and_pictures_exist():
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            path = (PROJECT / page).parent / link
            assert path.exists(), f"{page}: {link}"
            if link.endswith(".png"):
                assert path.read_bytes().startswith(b"\x89PNG"), f"{page}: {link}"


def test_the_page_of_blocks_is_that_of_the_code():
    assert blocks.PAGE.read_text() == blocks.page(), "run `python -m docs.blocks`"


def test_every_make_target_is_documented_and_in_help():
    targets = set(re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test", "submit", "ui", "leaderboard", "check", "data", "lint", "format", "clean", "help"} <= targets
    shown = subprocess.run(["make", "-C", str(PROJECT)], capture_output=True, text=True, check=True).stdout
    every = "\n".join(PAGES.values())
    for target in targets:
        assert f"make {target} " in shown, target
        assert re.search(rf"make {target}\b", every), target
    for target in re.findall(r"`make ([a-z-]+)", every):
        assert target in targets, target


def shown_commands():
    """Every line `vad ...` and `make ...` in a block of shell, with its page; comments are cut off."""
    for page, text in PAGES.items():
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                if re.match(r"(\.venv/bin/)?(vad|make) ", line):
                    yield page, shlex.split(line, comments=True)


@pytest.mark.parametrize(
    ("page", "words"), list(shown_commands()), ids=lambda x: " ".join(x) if isinstance(x, list) else x
)
def test_commands_that_pages_show_are_spelt_right(page, words, tmp_path):
    if words[0] == "make":
        called = [line for line in dry_run(tmp_path, *words[1:]) if " -m registry.cli " in line]
        words = shlex.split(called[-1].partition(" -m ")[2]) if called else []
    if words:
        command = main.commands[words[1]]
        assert command.help
        options = [word for word in words[2:] if word not in ("|", "FILE", "FOLDER")]
        command.make_context(words[1], options, parent=click.Context(main, info_name="vad"))


def dry_run(folder, *arguments):
    """What make would do in a folder of its own."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        if not (folder / name).exists():
            (folder / name).write_bytes((PROJECT / name).read_bytes())
    # Without what the make that runs this test was given.
    given = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = ["make", "--dry-run", f"PYTHON={sys.executable}", *arguments]  # or it starts several to find a new one
    return subprocess.run(
        command, cwd=folder, env=given, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_make_says_how_large_and_how_long_before_it_installs(tmp_path):
    lines = dry_run(tmp_path, "run", "EXP=x")
    said = next(i for i, line in enumerate(lines) if "2.1 GB and about 2 minutes" in line)
    installs = [i for i, line in enumerate(lines) if "pip install" in line]
    assert len(installs) == 2 and said < installs[0]


@pytest.mark.parametrize("what", ["link", "folder"])
def test_make_empties_no_environment_that_it_did_not_make(tmp_path, what):
    mine, place = tmp_path / "mine", tmp_path / ".venv"
    mine.mkdir()
    (mine / "pyvenv.cfg").touch()
    if what == "link":
        (mine / ".ready").touch()  # it may be that of another clone
        place.symlink_to(mine)
    else:
        mine.rename(place)
    dry_run(tmp_path)  # takes the Makefile there
    python = f"PYTHON={sys.executable}"
    done = subprocess.run(["make", "setup", python], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert ".venv is not an environment that make made here, and would be emptied" in done.stderr
    assert (place / "pyvenv.cfg").exists()


@pytest.mark.parametrize("given", ["DATASET=x", "LABEL=x", "EPOCHS=3"])
def test_a_variable_that_make_does_not_know_stops_it(given):
    done = subprocess.run(["make", "-C", str(PROJECT), "-n", "run", "EXP=x", given], capture_output=True, text=True)
    assert done.returncode == 2 and f"unknown variable {given.partition('=')[0]};" in done.stderr


def test_torch_comes_from_another_index_if_one_is_named(tmp_path):
    lines = dry_run(tmp_path, "run", "EXP=x", "TORCH_INDEX=https://example.org/cpu")
    first, second, _ = (line for line in lines if "pip install" in line)
    version = re.search(r"^torch==(\S+)$", (tmp_path / "requirements.lock").read_text(), re.MULTILINE)[1]
    assert f"--no-deps --index-url 'https://example.org/cpu' torch=={version}" in first
    assert second.endswith("-r requirements.lock")


def test_an_environment_with_torch_from_elsewhere_is_made_again(tmp_path):
    def installs(*arguments):
        return any("pip install" in line for line in dry_run(tmp_path, "check", *arguments))

    assert installs()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".torch-index").write_text("https://example.org/cpu\n")
    (tmp_path / ".venv" / ".ready").touch()
    assert not installs()
    assert not installs("TORCH_INDEX=https://example.org/cpu")
    assert installs("TORCH_INDEX=https://example.org/cuda")


def test_what_commands_write_into_a_clone_is_no_change_to_its_code():
    written = {"/.vad/", "/mlflow.db*", "/mlartifacts/", "/submissions/", "/renders/", "/journey/", "/bench/", "/site/"}
    assert written <= set((PROJECT / ".gitignore").read_text().split())


def loaded(code):
    """The modules that are in memory after this code."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(sorted(sys.modules))"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    return set(re.findall(r"'([\w.]+)'", done.stdout))


def test_help_imports_nothing_heavy():
    modules = loaded("import registry.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass")
    assert "click" in modules
    assert modules & {"torch", "mlflow", "numpy", "scipy", "pandas", "cv2", "matplotlib", "pydantic"} == set()


def test_the_leaderboard_loads_what_computes_only_with_mlflow():
    modules = loaded("import registry.analysis.leaderboard")
    assert "mlflow" in modules
    assert modules & {"torch", "scipy.signal", "cv2", "matplotlib"} == set()


def snippets():
    return re.findall(r"```python\n(.*?)```", PAGES["docs/extending.md"], re.DOTALL)


def test_the_network_that_the_docs_show_runs_as_it_stands(monkeypatch):
    monkeypatch.setattr(NETWORKS, "_blocks", dict(NETWORKS._blocks))
    monkeypatch.setattr(NETWORKS, "_versions", dict(NETWORKS._versions))
    exec(snippets()[0], {"__name__": "my_net"})
    frames = torch.rand(2, 3, 64, 64)
    assert build("my_net", Shape("frame", 3, 64, 64), {"width": 16}, 1)(frames).shape == frames.shape


def test_the_loss_that_the_docs_show_runs_as_it_stands(monkeypatch):
    for name in ("_blocks", "_versions"):
        monkeypatch.setattr(LOSSES, name, dict(getattr(LOSSES, name)))
    exec(snippets()[2], {"__name__": "charbonnier"})
    assert weighted_loss([("mse", 1), ("charbonnier", 0.5)])(
        torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    ).item() == pytest.approx(1.5, abs=1e-5)


def test_the_step_that_the_docs_show_runs_as_it_stands(monkeypatch):
    for name in ("_blocks", "_versions"):
        monkeypatch.setattr(STEPS, name, dict(getattr(STEPS, name)))
    exec(snippets()[1], {"__name__": "hold"})
    held = STEPS["hold"](np.array([[0.0, 3.0, 1.0, 0.0, 0.0, 2.0]]), [slice(0, 4), slice(4, 6)], window=3)
    assert held.tolist() == [[0.0, 3.0, 3.0, 3.0, 0.0, 2.0]]
