"""`python -m benchmarks.published`: the page beside published figures, made by the product on little data."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from benchmarks import published
from registry.store.score_table import labelled_table
from registry.store.tracking import Tracking
from vad.data.frame_index import FrameIndex

PAGE = Path(__file__).parents[2] / "docs" / "published.md"


def test_the_page_is_made_by_the_product_and_past_an_entry_that_fails(workspace, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # the command sets it for its process
    command = ["published", "data", "--labels", "data/labels.csv", "--entries", "tiny", "gone", "--work", "work"]
    monkeypatch.setattr(sys, "argv", command)
    published.main()
    text = capsys.readouterr().out
    tracking = Tracking()
    (run,) = tracking.find("experiment")
    table = labelled_table(tracking, run.run_id, Path("work/.vad"))
    auc = roc_auc_score(table.labels, table.variants["max"])
    assert re.search(rf"^\| `tiny` \| max \| \*\*{100 * auc:.1f}\*\* \[", text, re.MULTILINE), text
    assert "| `gone` | failed: unknown experiment" in text
    assert "30 test frames, 3 videos, 30% of the frames anomalous" in text and "commit " in text
    assert "Not run for this page: `phase1_convae_mean`" in text
    assert "beside the best of ours: `tiny`, max, which the experiment names before it is measured" in text
    assert re.search(r"^- .+, \d+ cores?, torch .+, commit .+: `tiny`\.$", text, re.MULTILINE), text


def test_rows_are_kept_between_calls_and_never_mixed_with_those_of_other_labels(workspace, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")

    def page(entry, labels="data/labels.csv"):
        command = ["published", "data", "--labels", labels, "--entries", entry, "--work", "work", "--keep", "rows.json"]
        monkeypatch.setattr(sys, "argv", command)
        published.main()
        return capsys.readouterr()

    Path("experiments/tiny2.yaml").write_text(Path("experiments/tiny.yaml").read_text().replace("tiny", "tiny2"))
    page("tiny")
    text = page("tiny2").out
    assert re.findall(r"^\| `(tiny2?)` \| max ", text, re.MULTILINE) == ["tiny2", "tiny"]
    assert page("gone").out.count("| `tiny2` | max ") == 1, "kept rows make the page where nothing new is measured"
    other = pd.read_csv("data/labels.csv")
    other.loc[0, "Label"] = 1 - other.loc[0, "Label"]
    other.to_csv("other.csv", index=False)
    assert "rows.json keeps rows of other frames or labels" in page("tiny", "other.csv").err


def test_scaling_by_video_and_the_frames_of_whole_windows():
    index = FrameIndex(np.repeat([1, 2], [40, 20]), np.r_[0:40, 0:20])
    scores = np.r_[np.linspace(5, 9, 40), np.full(20, 3.0)]
    scaled = published.scaled_by_video(scores, index)
    assert scaled[:40].min() == 0 and scaled[:40].max() == 1 and np.allclose(np.diff(scaled[:40]), 1 / 39)
    assert not scaled[40:].any(), "all the same: no division by zero"
    assert index.frame[published.inner_frames(index)].tolist() == [*range(8, 33), *range(8, 13)]


@pytest.mark.parametrize("one", yaml.safe_load(published.PUBLISHED.read_text()), ids=lambda one: one["method"])
def test_the_page_has_every_published_figure_with_source_and_protocol(one):
    assert one["like"] in published.Row.__dataclass_fields__
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {one['method']} | "))
    assert f"| {one['auc']:.1f} |" in row and one["protocol"] in row and one["source"] in row
