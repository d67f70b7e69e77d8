"""The reference's published files, blended by an entry and measured at the command line."""

import os
from pathlib import Path

import numpy as np
import pytest

from registry.entries.loading import load_entry
from registry.entries.plan import make_plan
from vad.data.tables import read_scores
from vad.scoring.pipeline import Scored, Stream, run_pipeline

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "reference-scores"
AP = {
    "multiscale_max": "0.5982",
    "all_models_gaussian3": "0.5681",
    "all_models": "0.5101",
    "rgb_only": "0.4999",
    "product_fusion": "0.3473",
    "flow_only": "0.3124",
}
ENTRY = """\
name: derive
hypothesis: the published files follow from each other
streams:
  rgb: {{scores: {folder}/rgb_only.csv}}
  flow: {{scores: {folder}/flow_only.csv}}
  models: {{scores: {folder}/all_models.csv}}
variants:
  product_fusion: {{fuse: {{product: [rgb, flow]}}, steps: [{{normalize: 100}}]}}
  all_models_gaussian3: {{stream: models, steps: [{{gaussian: 3}}, {{normalize: 100}}]}}
"""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs ../shared/data/reference-scores")


def test_an_entry_derives_the_published_files(workspace, tmp_path):
    folder = os.path.relpath(FOLDER, Path("experiments").resolve())
    Path("experiments/derive.yaml").write_text(ENTRY.format(folder=folder))
    text = workspace.done("run", "derive", "--labels", str(FOLDER / "labels.csv"))
    assert "0.5681" in text
    assert "0.3473" in text
    run = workspace.tracking().find("experiment")[0]
    table = np.genfromtxt(workspace.tracking().fetch(run.run_id, "scores.csv", tmp_path), delimiter=",", names=True)
    for name in ("product_fusion", "all_models_gaussian3"):
        _, published = read_scores(FOLDER / f"{name}.csv")
        assert np.abs(table[name] - published).max() < 1e-12


@pytest.mark.parametrize("name", AP)
def test_evaluate_gives_the_ap_of_a_published_file(workspace, name):
    text = workspace.done("evaluate", str(FOLDER / f"{name}.csv"), "--labels", str(FOLDER / "labels.csv"))
    assert text.splitlines()[0].startswith(f"AP          {AP[name]}  (95 % interval ")
    assert "prevalence  0.2456  (11,706 frames)" in text


def test_the_flow_experiments_fusions_follow_from_its_two_streams():
    """The entry's own variants on the published scores of its two streams."""
    plan = make_plan(load_entry("phase3_optical_flow"), labelled=True)
    index, rgb = read_scores(FOLDER / "rgb_only.csv")
    _, flow = read_scores(FOLDER / "flow_only.csv", index)
    streams = {name: Stream((), None, (), f"{name}.csv") for name in ("rgb", "flow")}
    found = run_pipeline(streams, plan.variants, Scored(index, {}, {"rgb": rgb, "flow": flow})).variants

    expected = {"rgb_only": rgb, "flow_only": flow, "product_fusion": read_scores(FOLDER / "product_fusion.csv")[1]}
    mixes = {"max_fusion": np.maximum(rgb, flow)}
    for share in (70, 60, 50, 40, 30):
        mixes[f"rgb{share}_flow{100 - share}"] = rgb * share / 100 + flow * (100 - share) / 100
    expected |= {name: (mix - mix.min()) / (mix.max() - mix.min()) for name, mix in mixes.items()}
    assert set(found) == set(expected)
    for name, scores in expected.items():
        assert np.abs(found[name] - scores).max() < 1e-12, name
