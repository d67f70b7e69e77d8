"""Post-processing and AP, end to end, on the reference's published score files."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vad.catalog import Named as Step
from vad.data.labels import read_labels
from vad.data.tables import read_scores
from vad.images.digest_cache import DigestCache
from vad.scoring.pipeline import Scored, Stream, Variant, run_pipeline

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "reference-scores"
AP = {
    "multiscale_max": 0.5982,
    "all_models_gaussian3": 0.5681,
    "all_models": 0.5101,
    "rgb_only": 0.4999,
    "product_fusion": 0.3473,
    "flow_only": 0.3124,
}


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs ../shared/data/reference-scores")
def test_the_references_files_follow_from_each_other_and_measure_what_is_known(tmp_path):
    index, _ = read_scores(FOLDER / "rgb_only.csv")
    files = {name: read_scores(FOLDER / f"{name}.csv", index)[1] for name in AP}
    labels = read_labels(FOLDER / "labels.csv", index, DigestCache(tmp_path / "memory.json")).values
    assert (len(index), len(index.spans)) == (11_706, 21)
    assert {name: round(float(average_precision_score(labels, scores)), 4) for name, scores in files.items()} == AP

    streams = {name: Stream((), None, (), f"{name}.csv") for name in ("rgb_only", "flow_only", "all_models")}
    normalize = Step("normalize")
    variants = {
        "product_fusion": Variant("product", ("rgb_only", "flow_only"), (), (normalize,)),
        "all_models_gaussian3": Variant("single", ("all_models",), (), (Step("gaussian", (("sigma", 3),)), normalize)),
    }
    outcome = run_pipeline(streams, variants, Scored(index, {}, files))
    for name, scores in outcome.variants.items():
        assert np.abs(scores - files[name]).max() < 1e-12, name
