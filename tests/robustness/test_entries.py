"""YAML from outside (entries, SET, promotion.yaml, suites): a plan that can be run, or one short error with the file's name. Nothing in it is code."""

import copy
import itertools
import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.cli import main
from registry.entries.loading import load_entry
from registry.entries.plan import make_plan, rehearse
from registry.entries.yaml_reader import parse_value
from registry.models.production import read_policy
from registry.suites.suite import read_suite

WHOLE = """\
name: tiny
hypothesis: A red box does not belong here.
reference: {ap: 0.5, variants: {max: 0.5}, source: the tests}
repair: [flips]
members:
  small: {model: conv_ae, size: 32, latent: 4, batch_size: 4, seeds: [1, 2]}
  flow: {model: nearest_cells, reach: 1, stride: 2, input: {flow_cells: 16}, size: 64, aspect: keep, region: [0, 0.5, 1, 1]}
train: {loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 2, patience: 5, min_delta: 1.0e-5, precision: fp32}
streams:
  small: {members: small, error: max, steps: [{normalize: 99}, mean, {normalize: 100}]}
  other: {members: small-1, error: mean, steps: [{local_zscore: 3}]}
  flow: {members: flow, map: distance, calibrate: true, reduce: {top: 9}, steps: [{fill: nearest}, {train_quantile: 0.9}]}
  ssim: {members: small-2, map: ssim, reduce: {patch: 8}, steps: [{train_zscore: false}]}
variants:
  max: {fuse: {max: [small, other]}, steps: [{normalize: 100}, {gaussian: 1}]}
  new: {fuse: {weights: {flow: 0.3, ssim: 0.7}}, steps: [train_zscore]}
  one: {stream: small, steps: [{savgol: {window: 5, polyorder: 2}}]}
"""
SUITE = b"name: two\nfigure: ap\ndata: {a: one, b: {path: two, labels: l.csv, first_frame: 1}}\nentries: [tiny]\nset: [x.y=1]\n"
LETTERS = "abcdefghij"
BOMBS = {
    "code": WHOLE + "x: !!python/object/apply:os.system ['touch ran']\n",
    "an object": "!!python/object:os.system {}\n",
    "a module": "x: !!python/module:this\n",
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in itertools.pairwise(LETTERS)),
    "merges": "a: &a {x: 1}\n" + "".join(f"{new}: &{new} {{<<: [{', '.join(['*' + old] * 9)}], y: 1}}\n" for old, new in itertools.pairwise(LETTERS)),
    "an anchor in itself": "a: &a [*a]\n",
    "a merge of itself": "a: &a {<<: *a}\n",
    "a merge of a number": "a: {<<: 3}\n",
    "deep lists": "a: " + "[" * 1500 + "]" * 1500,
    "deep mappings": "a: " + "{a: " * 2000 + "}" * 2000,
    "a long line": "a: " + "x" * 3_000_000,
    "a long word": WHOLE.replace("mse", "x" * 100_000),
    "a wrong number": "a: !!int abc\n",
    "a wrong time": "a: !!timestamp 99\n",
    "a wrong truth": "a: !!bool maybe\n",
    "no number": "a: !!int ''\n",
    "a list as a key": "? [a, b]\n: 1\n",
    "a number as a key": WHOLE + "3: 1\n",
    "a huge number": WHOLE.replace("epochs: 2", "epochs: " + "9" * 400),
    "a number by sixties": WHOLE.replace("epochs: 2", "epochs: 9" + ":59" * 3000),
    "infinity": WHOLE.replace("1.0e-3", ".inf"),
    "no finite number": WHOLE.replace("1.0e-5", ".nan"),
    "NUL": WHOLE + "x: \0\n",
    "two documents": WHOLE + "---\n" + WHOLE,
    "nothing": "",
    "a list": "[1]",
    "half a surrogate": 'a: "\\ud800"\n',
    "a path with NUL": 'name: tiny\nhypothesis: x\nstreams: {a: {scores: "x\\0y"}}\nvariants: {v: {stream: a}}\n',
}  # fmt: skip
VALUES = [
    None, True, 0, -1, 3.5, float("nan"), float("inf"), 10**30, -(10**30), 1e308, 1e-320, "", "x", "x" * 9000, "../../x", "a\0b",
    [], [[]], {}, {"a": {"b": [1]}}, [1, 1], {None: 1}, {3: 4}, [None], "mean", 2**31, {"max": ["small"]}, {"normalize": float("nan")},
    {"gaussian": 1e308}, {"gaussian": 1e-320}, {"gaussian": 10**12}, {"gaussian_residual": {"sigma": 1e-200}}, {"local_zscore": 10**12},
    {"train_quantile": 1e-320}, {"flow_cells": {"cell": 10**12}}, {"top": 10**12}, {"patch": 10**12}, [0, 0, 1e-320, 1], [0, 1, 1, 0],
    "nearest_cells", "flips", "top", "flow_cells", "keep", 8, 2048, {"savgol": {"window": 10**12 + 1}}, {"median_filter": 10**12}, {"fill": float("inf")},
]  # fmt: skip


def _places(tree, key=()):
    yield key
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from _places(value, (*key, name))


PLACES = list(_places(yaml.safe_load(WHOLE)))[1:]


def _plan(path: Path):
    plan = make_plan(load_entry(str(path)), labelled=True)
    rehearse(plan)
    return plan


def test_the_entry_that_is_damaged_here_is_sound(tmp_path):
    (tmp_path / "tiny.yaml").write_text(WHOLE)
    assert list(_plan(tmp_path / "tiny.yaml").variants) == ["max", "new", "one"]


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(tmp_path, monkeypatch, judged, bomb):
    monkeypatch.chdir(tmp_path)
    for name in ("tiny.yaml", "promotion.yaml"):
        Path(name).write_text(BOMBS[bomb], encoding="utf-8")
    assert judged(lambda: _plan(Path("tiny.yaml")), "tiny") is None
    assert judged(read_policy, "promotion.yaml") is None
    assert judged(lambda: read_suite(Path("tiny.yaml")), "tiny") is None
    result = CliRunner().invoke(main, ["check", "./tiny.yaml"])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not Path("ran").exists()


@settings(max_examples=250)
@given(place=st.sampled_from(PLACES), value=st.sampled_from(VALUES))
def test_any_value_in_any_place(tmp_path, judged, place, value):
    tree = copy.deepcopy(yaml.safe_load(WHOLE))
    here = tree
    for part in place[:-1]:
        here = here[part]
    here[place[-1]] = value
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    plan = judged(lambda: _plan(path), "tiny")
    assert plan is None or plan.variants


@settings(max_examples=250)
@given(data=st.data())
def test_damaged_entries(tmp_path, judged, damaged, data):
    path = tmp_path / "tiny.yaml"
    path.write_bytes(data.draw(damaged(WHOLE.encode())))
    plan = judged(lambda: _plan(path), "tiny")
    assert plan is None or plan.name == "tiny"


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_policies(tmp_path_factory, judged, damaged, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        Path("promotion.yaml").write_bytes(data.draw(damaged(b"same_data: true\nmin_gain: 0.0\nconfidence: 0.8\n")))
        policy = judged(read_policy, "promotion.yaml")
        assert policy is None or (0 <= policy.min_gain <= 1 and 0 <= policy.confidence <= 1)


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_suites(tmp_path, judged, damaged, data):
    path = tmp_path / "suite.yaml"
    path.write_bytes(data.draw(damaged(SUITE)))
    suite = judged(lambda: read_suite(path), "suite.yaml")
    assert suite is None or (suite.sources and suite.entries and suite.figure in ("auc", "ap"))


@settings(max_examples=80)
@given(text=st.one_of(st.text(max_size=30), st.sampled_from([bomb for bomb in BOMBS.values() if len(bomb) < 50_000])))
def test_any_value_that_is_set(tmp_path, judged, text):
    path = tmp_path / "tiny.yaml"
    path.write_text(WHOLE)
    judged(lambda: parse_value(text), "")
    judged(lambda: load_entry(str(path), overrides=[f"train.lr={text}"]), "")


@pytest.mark.parametrize("what", ["pipe", "endless"])
def test_what_never_ends_is_no_entry(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = Path("experiments/tiny.yaml")
    path.parent.mkdir()
    os.mkfifo(path) if what == "pipe" else path.symlink_to("/dev/zero")
    result = CliRunner().invoke(main, ["check", "tiny"])
    assert result.exit_code == 2
    assert "experiments/tiny.yaml is a pipe or a device, not a file" in result.output
