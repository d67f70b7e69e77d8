"""Code of one's own is part of what a member is; the project's is known by its versions."""

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import vad
from vad.detectors.banks import BANKS
from vad.detectors.networks import ERRORS, INITS, NETWORKS
from vad.detectors.training.losses import LOSSES
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.inputs import INPUTS
from vad.repair import REPAIRS
from vad.scoring.reductions import REDUCTIONS
from vad.scoring.steps import STEPS
from vad.user_code import _PROJECT, _used, code_of

NET = '''
"""A network."""
from torch import nn
from own_layers import act

class Net(nn.Module):
    """Text."""
    def forward(self, x):
        return act(x)  # what it does
'''
LAYERS = "from torch import nn\nact = nn.ReLU()\n"


def _code(folder, monkeypatch, net=NET, layers=LAYERS):
    (folder / "own_net.py").write_text(net)
    (folder / "own_layers.py").write_text(layers)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    code_of.cache_clear()
    return code_of("own_net", "net")


def test_comments_and_docstrings_change_nothing_code_does_also_in_what_it_imports(tmp_path, monkeypatch):
    first = _code(tmp_path, monkeypatch)
    assert list(first) == ["own_layers.py", "own_net.py"]
    worded = NET.replace("Text.", "Other text.").replace("# what it does", "# so")
    assert _code(tmp_path, monkeypatch, worded) == first
    changed = _code(tmp_path, monkeypatch, layers=LAYERS.replace("ReLU", "LeakyReLU"))
    assert changed["own_net.py"] == first["own_net.py"]
    assert changed["own_layers.py"] != first["own_layers.py"]
    assert _code(tmp_path, monkeypatch, NET.replace("act(x)", "-act(x)"))["own_net.py"] != first["own_net.py"]


def test_every_block_of_the_project_has_a_version_and_its_module_is_known():
    catalogs = (NETWORKS, BANKS, INPUTS, LOSSES, OPTIMIZERS, SCHEDULES, INITS, ERRORS, REDUCTIONS, REPAIRS, STEPS)
    for catalog in catalogs:
        for name in catalog.names():
            if catalog[name].__module__ in _PROJECT:
                assert all(int(version) > 1 for version in catalog.code(name).values()), name
    root = Path(vad.__file__).parent.parent
    assert all((root / f"{m.replace('.', '/')}.py").exists() or (root / m.replace(".", "/")).is_dir() for m in _PROJECT)


def test_in_a_file_of_the_project_only_what_the_block_uses_counts():
    import ast

    tree = ast.parse(
        textwrap.dedent("""
        SHARED = 3
        OTHER = 4
        def helper(): return SHARED
        @STEPS.register("hold")
        def hold(values): return helper()
        @STEPS.register("mean", version=1)
        def mean(values): return OTHER
        FITS["hold"] = lambda values: values
        """)
    )
    kept = ast.unparse(ast.Module(_used(tree, "hold"), []))
    assert "SHARED = 3" in kept and "helper" in kept and "FITS" in kept
    assert "OTHER" not in kept and "mean" not in kept


def test_a_name_in_use_again_is_refused_and_a_raised_version_is_told():
    from vad.catalog import Catalog

    catalog = Catalog("fruit")
    catalog.register("apple", version=2)(lambda: None)
    assert catalog.code("apple") == {"fruit apple": "2"}


@pytest.mark.parametrize("module", ["vad.user_code", "vad.detectors.member"])
def test_it_is_imported_without_a_circle(module):
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def test_the_projects_modules_are_all_known():
    root = Path(vad.__file__).parent
    names = {".".join(("vad", *path.relative_to(root).with_suffix("").parts)) for path in root.rglob("*.py")}
    assert {name.removesuffix(".__init__") for name in names} == _PROJECT


def test_two_files_of_one_name_are_two(tmp_path, monkeypatch):
    for folder, text in (
        ("nets", "from nets.layers import act\n"),
        ("nets/layers", "from torch import nn\nact = nn.ReLU()\n"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    code_of.cache_clear()
    assert list(code_of("nets", "net")) == ["nets/__init__.py", "nets/layers/__init__.py"]
