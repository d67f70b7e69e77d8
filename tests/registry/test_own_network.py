"""A network of one's own: its code is part of what was trained, and what is wrong in it is told with its place."""

import importlib
import sys

import pytest

from vad.detectors.networks import NETWORKS
from vad.user_code import code_of

NET = '''
from typing import ClassVar

from torch import nn


class Net(nn.Module):
    """Two convolutions."""

    takes: ClassVar[str] = "frame"

    def __init__(self, shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 3, 3, 1, 1))

    def forward(self, frames):
        return self.layers(frames)
'''


@pytest.fixture
def write_net(workspace, edit, tmp_path, monkeypatch):
    """Write the network's module, as a user edits it between two commands; `small` of the entry uses it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    edit("small: {model: fully_conv_ae, size: 32, output: tanh,", "small: {model: my_net, size: 32,")

    def write(text):
        (tmp_path / "my_net.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("my_net", None)
        NETWORKS._blocks.pop("my_net", None)
        code_of.cache_clear()
        NETWORKS.register("my_net")(importlib.import_module("my_net").Net)

    yield write
    NETWORKS._blocks.pop("my_net", None)
    sys.modules.pop("my_net", None)
    code_of.cache_clear()


def test_it_trains_again_when_its_code_changes_and_not_for_a_comment(workspace, write_net):
    write_net(NET)
    workspace.done("run", "tiny", "--data", "data")
    write_net(NET.replace("Two convolutions.", "Another text.") + "# a comment\n")
    assert "tiny is done already" in workspace.vad("run", "tiny", "--data", "data").stderr
    write_net(NET.replace("nn.ReLU()", "nn.LeakyReLU(0.2)"))
    assert "my_net.py" in workspace.done("why", "tiny", "--data", "data")
    result = workspace.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("to train") == 2 and result.stderr.count("from run") == 1
    assert len(workspace.runs("member")) == 5


def test_a_forward_that_fails_is_found_by_check_with_file_and_line(workspace, write_net):
    write_net(NET.replace("return self.layers(frames)", "return self.layers(frames[:, :2])"))
    message = workspace.refused("check", "tiny")
    assert "my_net.py, line 17: RuntimeError: " in message
