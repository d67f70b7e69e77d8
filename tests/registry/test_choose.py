"""Which variant an entry registers: the best by AP, the one it names, or the best on painted anomalies, with labels or without."""

import json
from pathlib import Path

import cv2
import mlflow
import numpy as np
import pytest

from registry.models.versions import Versions
from registry.store.tracking import Tracking
from vad.measures.metrics import middle

ENTRY = """\
name: choosing
hypothesis: An entry says which variant it registers.
members: {{one: {{model: nearest_cells, input: {{flow_cells: 16}}, size: 64, aspect: keep, stride: 1}}}}
streams:
  top: {{members: one, reduce: {{top: 3}}, steps: [{{fill: nearest}}, train_rank]}}
  all: {{members: one, reduce: mean, steps: [{{fill: nearest}}, train_rank]}}
variants:
  a: {{stream: top}}
  b: {{stream: all}}
  c: {{fuse: {{noisy_or: [top, all]}}}}
  d: {{fuse: {{mean: [top, all]}}}}
{choose}
"""


def entry(workspace, choose="", **changes):
    text = ENTRY.format(choose=choose)
    for old, new in changes.items():
        text = text.replace(old, new)
    (workspace.folder / "experiments" / "choosing.yaml").write_text(text)


def registered():
    (version,) = Versions(Tracking()).all()
    return version.tags["vad.variant"]


def run_of(name="choosing"):
    (run,) = Tracking().find("experiment")
    return run


def test_the_best_has_the_interval_of_one_that_is_chosen_again_in_each_draw(workspace, monkeypatch):
    drawn = {}

    def remember(best, all_of_them):
        drawn["low"], drawn["high"] = middle(np.max([one.draws for one in all_of_them], axis=0))
        drawn["own"] = best.measured.low, best.measured.high
        return original(best, all_of_them)

    from registry.runs import evaluation

    original = evaluation.chosen_again
    monkeypatch.setattr(evaluation, "chosen_again", remember)
    entry(workspace)
    workspace.done("run", "choosing", "--data", "data")
    run = run_of()
    aps = {name: run.metrics[f"ap.{name}"] for name in "abcd"}
    assert aps[registered()] == max(aps.values())
    assert run.metrics["ap_low"] == pytest.approx(min(1.0, drawn["low"]))
    assert run.metrics["ap_low"] >= drawn["own"][0] and run.metrics["ap_high"] >= drawn["own"][1]
    assert "chooses again in each draw" in run.tags["vad.variant_chosen_by"]


def test_a_variant_may_be_called_best_without_being_it(workspace):
    tiny = workspace.folder / "experiments" / "tiny.yaml"
    tiny.write_text(tiny.read_text() + "  best: {stream: small, steps: [{gaussian: 100}]}\n")
    out = workspace.done("run", "tiny", "--data", "data")
    metrics = run_of().metrics
    assert registered() != "best" and "*  best" not in out
    assert metrics[f"ap.{registered()}"] > metrics["ap.best"]


@pytest.mark.parametrize("labels", ["data/labels.csv", "none"])
def test_a_variant_that_is_named_is_registered_with_labels_and_without(workspace, labels):
    entry(workspace, "choose: b")
    out = workspace.done("run", "choosing", "--data", "data", "--labels", labels, "--set", "holdout=0.5")
    assert registered() == "b"
    assert "*  b" in out and "b is the entry's choice; it has " in out
    assert run_of().tags["vad.variant_chosen_by"] == "the entry, without any label"
    assert run_of().params["best_variant"] == "b"


def test_painted_anomalies_choose_where_the_entry_says_so_though_there_are_labels(workspace):
    tiny = workspace.folder / "experiments" / "tiny.yaml"
    tiny.write_text(tiny.read_text() + "  flat: {stream: small, steps: [{gaussian: 100}]}\nchoose: proxy\n")
    out = workspace.done("run", "tiny", "--data", "data", "--set", "holdout=0.5")
    run = run_of()
    proxies = {name: run.metrics[f"proxy_ap.{name}"] for name in ("max", "small_only", "flat")}
    assert registered() == max(proxies, key=proxies.get) and len(set(proxies.values())) > 1
    assert run.metrics["ap"] == run.metrics[f"ap.{registered()}"], "the figure is that of the labelled test frames"
    assert -1 <= run.metrics["proxy_spearman"] <= 1
    assert "painted anomalies" in run.tags["vad.variant_chosen_by"] and "is best on painted anomalies; it has AP" in out
    scores = mlflow.artifacts.load_text(f"runs:/{run.run_id}/scores.csv")
    assert len(scores.splitlines()) == 31, "of the test frames alone"


def test_painted_frames_are_put_under_the_noise_of_the_test_frames(workspace):
    entry(workspace, "choose: proxy")
    command = ["run", "choosing", "--data", "data", "--set", "holdout=0.5"]
    note = "painted frames are as the test frames: 33% noisy, 0% upside down"
    assert note not in workspace.vad(*command).output
    clean = run_of().metrics
    generator = np.random.default_rng(2)
    for path in sorted(Path("data").rglob("testing_videos/**/*.jpg"))[::3]:
        image = cv2.imread(str(path))
        cv2.imwrite(str(path), np.clip(image + generator.normal(0, 30, image.shape), 0, 255).astype(np.uint8))
    assert note in workspace.vad(*command).output
    noisy = Tracking().find("experiment")[0].metrics
    assert [noisy[f"proxy_ap.{name}"] for name in "abcd"] != [clean[f"proxy_ap.{name}"] for name in "abcd"]
    assert "is done already" in workspace.vad(*command).output
    assert "done already" in workspace.done("why", "choosing", "--data", "data", "--set", "holdout=0.5")


def test_another_choice_is_another_run_and_trains_nothing_again(workspace):
    entry(workspace)
    workspace.done("run", "choosing", "--data", "data")
    entry(workspace, "choose: c")
    again = workspace.vad("run", "choosing", "--data", "data")
    assert "is done already" not in again.output and "from run" in again.output


def test_a_choice_of_no_variant_is_refused_with_its_line(workspace):
    entry(workspace, "choose: cc")
    result = workspace.vad("check", "choosing")
    assert result.exit_code == 2
    assert 'line 12: choose: unknown variant "cc"; did you mean "c"? (known: best, proxy, a, b, c, d)' in result.stderr


def test_a_noisy_or_of_what_are_no_probabilities_is_refused_before_the_run(workspace):
    entry(workspace, **{"{top: 3}, steps: [{fill: nearest}, train_rank]": "{top: 3}, steps: [{fill: nearest}]"})
    result = workspace.vad("run", "choosing", "--data", "data")
    assert result.exit_code == 2
    said = 'variant "c": noisy_or fuses scores from 0 to 1; end the steps of its streams (top, all) with train_rank'
    assert f"experiments/choosing.yaml, line 10: {said}" in result.stderr
    assert not Tracking().find("experiment")


def test_the_choice_is_part_of_what_is_shown(workspace):
    entry(workspace, "choose: d")
    assert "choose: d" in workspace.done("show", "choosing")
    assert json.loads(workspace.done("check", "choosing", "--json"))[0]["variants"] == ["a", "b", "c", "d"]
