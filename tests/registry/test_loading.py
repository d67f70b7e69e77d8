"""Entries: what is accepted, and how every fault is reported."""

from pathlib import Path

import pytest
import yaml

from registry.entries.loading import load_entry
from registry.entries.yaml_reader import parse_value
from vad.errors import InputError

BROKEN = """\
name: other
hypothesis: 3
members:
  a: {model: conv_aee, size: 64, latent: 64, batch_size: 1, seeds: [1, 1]}
  b: {model: conv_ae, size: "64", latnt: 64, batch_size: 1, seeds: [1, 2]}
  b: {model: conv_ae, size: 64, latent: 64, batch_size: 1, seeds: [1]}
  c: {model: conv_ae, size: 64, latent: 0, batch_size: 1, seeds: [1], train: {epoch: 3}}
train: {epocs: 3, lr: 1e-4, schedule: cosin}
streems: {}
streams:
  s: {members: [a, z], error: maxx, steps: [{gausian: 3}, {gaussian: x}, {savgol: 4}]}
  t: {members: b, error: max}
variants:
  v: {fuse: {max: [s, q]}}
"""


def test_all_faults_are_reported_at_once_with_file_line_key_and_suggestion(workspace):
    path = workspace.folder / "experiments" / "broken.yaml"
    path.write_text(BROKEN)
    message = workspace.refused("check", "broken")
    expected = [
        'line 1: name: is "other", but the file is broken.yaml; they must agree',
        "line 2: hypothesis: input should be a valid string, not 3",
        'line 4: members.a.model: unknown model "conv_aee"; did you mean "conv_ae"?',
        "line 4: members.a.seeds: names 1 twice",
        "line 5: members.b: this key appears twice (lines 5 and 6); keep one",
        "line 5: members.b.size: input should be a valid integer, not '64'",
        'line 5: members.b.latnt: unknown key; did you mean "latent"?',
        'line 5: members.b: model "conv_ae" needs the option "latent"',
        'line 7: members.c.latent: model "conv_ae": latent must be at least 1, not 0',
        "line 7: members.c: no stream uses these members",
        'line 7: members.c.train.epoch: unknown key; did you mean "epochs"?',
        'line 8: train.epocs: unknown key; did you mean "epochs"?',
        'line 8: train.schedule: unknown schedule "cosin"; did you mean "cosine"?',
        'line 9: streems: unknown key; did you mean "streams"?',
        'line 11: streams.s.members: unknown member group "z" (known: a, b, c)',
        'line 11: streams.s.error: unknown error "maxx"; did you mean "max"?',
        'line 11: streams.s.steps.0: unknown step "gausian"; did you mean "gaussian"?',
        "line 11: streams.s.steps.1: step \"gaussian\": sigma must be a number, not 'x'",
        'line 11: streams.s.steps.2: step "savgol": window must be odd, not 4',
        "line 12: streams.t: has 2 members and no step that combines them (mean, median or max)",
        'line 14: variants.v.fuse: unknown stream "q" (known: s, t)',
    ]
    assert [line for line in expected if line not in message] == []
    assert f"has {len(expected)} faults" in message
    assert not any("mlartifacts" in name for name in workspace.files())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: tiny", "name: tiny\nname: tiny", "name: this key appears twice (lines 2 and 3); keep one"),
        ("size: 32", "size: 44", "needs a size that is a multiple of 8, not 44"),
        ("seeds: [1, 2]", "seeds: []", "members.small.seeds: list should have at least 1 item"),
        ("lr: 1.0e-3", "lr: -1", "train.lr: input should be greater than 0, not -1"),
        ("lr: 1.0e-3", "lr: .nan", "train.lr: input should be"),
        ("patience: 5", "patience: yes", "train.patience: input should be a valid integer, not 'yes'"),
        ("loss: mse", "loss: msse", 'train.loss: unknown loss "msse"; did you mean "mse"?'),
        ("stream: small,", "stream: smal,", 'variants.small_only.stream: unknown stream "smal"; did you mean "small"?'),
        ("stream: small,", "", "variants.small_only: needs either `stream` (one) or `fuse` (several)"),
        ("{max: [small, large]}", "{weights: {small: x}}", "variants.max.fuse.weights.small: input should be a valid number, not 'x'"),
        ("{max: [small, large]}", "{min: [small]}", "variants.max.fuse.min: unknown key; did you mean \"mean\"? (known: max, mean, product, noisy_or, weights)"),
        ("{gaussian: 1}", "{gaussian: -1}", 'step "gaussian": sigma must be at least 0, not -1'),
        ("{gaussian: 1}", "{savgol: {window: 5, polyorder: 7}}", 'steps.1: step "savgol": polyorder 7 must be below window 5'),
        ("{max: [small, large]}", "{weights: {small: -1}}", "variants.max.fuse.weights.small: input should be greater than or equal to 0, not -1"),
        ("{gaussian: 1}", "{normalize: 99, scope: video}", "as in `{normalize: {percentile: 99, scope: video}}`"),
        ("{gaussian: 1}", "{mean: 1}", 'step "mean" takes no value; write `mean`'),
        ("{gaussian: 1}", "mean", "variants.max: steps: a variant has one score a frame already"),
        ("variants: {max: 0.5}", "variants: {maxx: 0.5}", 'reference.variants.maxx: there is no such variant; did you mean "max"?'),
        ("error: mean", "seeds: [7], error: mean", 'streams.large.seeds: member group "large" has no seed 7 (it has [1])'),
        ("hypothesis:", "hypothesis: !!python/object/apply:os.system [", "this is not valid YAML"),
        ("hypothesis:", "\t", "this is not valid YAML"),
    ],
)  # fmt: skip
def test_a_fault_is_named(workspace, edit, old, new, message):
    edit(old, new)
    assert message in workspace.refused("check", "tiny")


def test_an_unknown_experiment_suggests_the_nearest(workspace):
    assert 'unknown experiment "tinny"; did you mean "tiny"?' in workspace.refused("run", "tinny")


def test_an_entry_can_be_a_path(workspace, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "tiny.yaml"
    elsewhere.parent.mkdir()
    (workspace.folder / "experiments" / "tiny.yaml").rename(elsewhere)
    assert "tiny" in workspace.done("check", str(elsewhere))
    assert "there is no such file" in workspace.refused("check", "nowhere/tiny.yaml")


@pytest.mark.parametrize(
    "name",
    ["tiny", "TINY", "tiny.yaml", "Tiny.YAML", "experiments/tiny.yaml", "experiments/Tiny.yaml", "experiments/tiny"],
)
def test_an_entry_is_found_by_name_or_file_in_any_case(workspace, name):
    assert "tiny" in workspace.done("check", name)


def test_an_entry_may_end_in_yml_and_two_files_of_one_name_stop(workspace):
    first, second = Path("experiments/tiny.yaml"), Path("experiments/more/tiny.yml")
    second.parent.mkdir()
    first.rename(second)
    assert "tiny" in workspace.done("check", "tiny")
    assert "tiny" in workspace.done("check")
    first.write_text(second.read_text())
    message = workspace.refused("check", "tiny")
    assert "EXP=tiny: experiments/more/tiny.yml and experiments/tiny.yaml are both meant" in message
    assert "tiny" in workspace.done("check", "experiments/tiny.yaml")


def test_an_entry_may_end_in_capitals_and_a_wrong_path_names_the_nearest(workspace):
    Path("experiments/tiny.yaml").rename("experiments/tiny.YAML")
    assert "tiny" in workspace.done("check", "tiny")
    assert "tiny" in workspace.done("check", "experiments/tiny.YAML")
    message = workspace.refused("check", "experiments/tinny.yaml")
    assert 'EXP=experiments/tinny.yaml: there is no such file (.yaml or .yml); did you mean "tiny"?' in message


@pytest.mark.parametrize("litter", ["._tiny.yaml", ".ipynb_checkpoints/tiny-checkpoint.yaml"])
def test_what_hides_among_the_experiments_is_none(workspace, litter):
    path = Path("experiments", litter)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\0\5\x16\7")
    assert workspace.done("check").count("\n") == 1


def test_a_file_name_that_is_here_and_among_the_experiments_stops(workspace):
    Path("tiny.yaml").write_text(Path("experiments/tiny.yaml").read_text())
    assert "experiments/tiny.yaml and ./tiny.yaml are both meant" in workspace.refused("check", "tiny.yaml")
    assert "tiny" in workspace.done("check", "./tiny.yaml")


def test_a_file_of_bytes_is_refused_in_one_line(workspace):
    Path("experiments/tiny.yaml").write_bytes(b"\0\5\x16\7")
    assert workspace.refused("check", "tiny").count("\n") == 1


@pytest.mark.parametrize("number", ["010", "1:30", "1_0", "0x1f", "0b11", "0o17", "08"])
def test_a_number_that_readers_of_yaml_read_in_several_ways_is_refused_with_its_line(workspace, edit, number):
    edit("epochs: 2,", f"epochs: {number},")
    message = workspace.refused("check", "tiny")
    assert f"experiments/tiny.yaml, line 8: this is not valid YAML: '{number}' is a number to some readers" in message
    assert f"'{number}' is a number to some readers" in workspace.refused("check", "--set", f"train.epochs={number}")


@pytest.mark.parametrize("word", ["yes", "on", "2024-01-01", "1.2.3", "'010'", "3d"])
def test_words_stay_words(word):
    assert parse_value(word) == word.strip("'")


def test_show_takes_the_profile_that_a_run_would_take(workspace):
    demo = workspace.done("show", "tiny", "--profile", "demo")
    assert workspace.done("show", "tiny") == demo
    full = workspace.done("show", "tiny", "--profile", "full")
    assert workspace.done("show", "tiny", "--data", "data") == full != demo


def test_show_prints_every_default_and_takes_overrides(workspace):
    text = workspace.done(
        "show",
        "tiny",
        "--profile",
        "full",
        "--set",
        "train.epochs=3",
        "--set",
        "members.small.output=sigmoid",
        "--set",
        "members.small.seeds=[8,9]",
    )
    shown = yaml.safe_load(text)
    assert {member["epochs"] for member in shown["members"].values()} == {3}
    assert list(shown["members"]) == ["small-8", "small-9", "large-1"]
    assert shown["members"]["small-8"]["output"] == "sigmoid"
    assert shown["members"]["large-1"]["output"] == "tanh"
    assert shown["members"]["small-8"]["weight_decay"] == 0.0
    assert shown["streams"]["small"]["steps"] == [
        {"normalize": {"percentile": 99, "scope": "all"}},
        "mean",
        {"normalize": {"percentile": 100, "scope": "all"}},
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", 'SET train.epoch=3: train.epoch: unknown key; did you mean "epochs"?'),
        ("train.epochs=x", "SET train.epochs=x: train.epochs: input should be a valid integer, not 'x'"),
        ("members.big.size=64", 'SET members.big.size=64: there is no "big" in members (there: small, large)'),
        ("train.epochs", "must read key=value, as in train.epochs=3"),
        ("name.x=3", "name has no keys to set"),
    ],
)
def test_a_wrong_override_is_named(workspace, override, message):
    assert message in workspace.refused("show", "tiny", "--set", override)


def test_numbers_may_be_written_without_a_point(tmp_path):
    path = tmp_path / "tiny.yaml"
    source = (Path(__file__).parent / "conftest.py").read_text()
    entry = source.split('TINY = """\\\n')[1].split('"""')[0]
    path.write_text(entry.replace("lr: 1.0e-3", "lr: 1e-3"))
    assert load_entry(str(path)).entry.train.lr == 1e-3


def test_the_demo_profile_changes_all_training_and_says_so(workspace):
    shown = yaml.safe_load(workspace.done("show", "tiny", "--profile", "demo"))
    assert {m["batch_size"] for m in shown["members"].values()} == {16}
    assert 'unknown profile "demmo"; did you mean "demo"?' in workspace.refused("show", "tiny", "--profile", "demmo")


def test_an_entry_cannot_contain_itself(tmp_path):
    path = tmp_path / "loop.yaml"
    path.write_text("name: &a [*a]\n")
    with pytest.raises(InputError, match=r"loop\.yaml"):
        load_entry(str(path))
