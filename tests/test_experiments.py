"""Every experiment of the project: it begins with its command, validates, builds; the reference's eleven have its networks."""

from pathlib import Path

import pytest

from registry.entries.loading import load_entry
from registry.entries.plan import make_plan, rehearse
from tests.conftest import needs_features
from vad.detectors.member import digest_of
from vad.errors import InputError

FOLDER = Path(__file__).parents[1] / "experiments"
EXPERIMENTS = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "journey.yaml")
# The reference's experiments, which the journey goes through.
PARAMETERS = {
    "phase1_convae_mean": {"ae": 9_780_803},
    "phase1_framediff_ae": {"ae": 329_025},
    "phase1_unet_skip": {"unet": 33_852_355},
    "phase2_ensemble": {"ae": 7_683_523},
    "phase2_max_error": {"tight": 7_683_523, "ae": 7_683_523},
    "phase3_conv3d": {"conv3d": 11_275_939},
    "phase3_convlstm": {"ae": 7_683_523, "lstm": 2_267_203},
    "phase3_optical_flow": {"rgb": 7_683_523, "flow": 7_682_498},
    "phase4_alternative": {"lat128": 7_683_523},
    "phase4_gaussian": {"lat64": 6_634_883, "lat128": 7_683_523, "lat192": 8_732_163},
    "phase5_multiscale": {"small": 5_842_307, "medium": 7_683_523, "large": 22_388_291},
}
# The digest of each experiment's settings and of its members' identities. With another one, what was trained is trained again
# and figures are no longer comparable: a refactoring must not change them, and scores on the demo street must stay the same bits.
IDENTITIES = {
    "phase1_convae_mean": "e88a90e5fd300c96",
    "phase1_framediff_ae": "d7df4e5ce956aed9",
    "phase1_unet_skip": "3c6d80c9ac0c743f",
    "phase2_ensemble": "66e2f128037826b3",
    "phase2_max_error": "661be1c3eb32991a",
    "phase3_conv3d": "3cb20bed6da24934",
    "phase3_convlstm": "2e025f81f65ea42f",
    "phase3_optical_flow": "ab6734d3e00e05c6",
    "phase4_alternative": "55aadadef79bcf69",
    "phase4_gaussian": "6b35485f2e0085b7",
    "phase5_multiscale": "8cea599da76daa34",
}
# Those beyond it: what differs from an experiment of the reference, or something new. A bank has nothing that is trained.
REPAIRED = {"phase3_optical_flow_repaired": "phase3_optical_flow", "phase5_multiscale_repaired": "phase5_multiscale"}
ALL_PARAMETERS = (
    PARAMETERS
    | {name: PARAMETERS[origin] for name, origin in REPAIRED.items()}
    | {"phase6_flow_bank": {"flow": 0}, "phase6_fused": {"flow": 0, "small": 5_842_307}}
    | {
        "phase6_residual_bank": dict.fromkeys(
            ("background", "nearest", "colours", "edges", "changes", "coarse", "regions"), 0
        )
    }
    | {"phase6_clip_ae": {"clip": 3_927_523, "frame": 5_842_307, "flow": 5_841_282}}
    | {"phase6_features": {"features": 0, "crops": 0, "flow": 0}}
)
VARIANTS = {
    "phase1_convae_mean": ["mean"],
    "phase1_framediff_ae": ["rank"],
    "phase1_unet_skip": [
        "recon", "gradient", "ssim", "recon_only", "balanced", "visual_heavy", "ssim_heavy", "no_temporal", "temporal_boost",
    ],
    "phase2_ensemble": [
        "avg_all5", "median_all5", "max_all5", "avg_3_v1", "avg_3_v2", "avg_3_v3",
        "single_seed42", "single_seed123", "single_seed456",
    ],
    "phase2_max_error": [
        "recon_only", "recon_combined", "with_temporal", "with_gradient", "full_fusion", "temporal_heavy", "max_heavy",
        "mean100", "mean80", "mean70", "mean60", "mean50", "mean40", "max100",
        "model1_mean60", "model2_mean60", "model3_mean60",
    ],
    "phase3_conv3d": [
        "avg_all5", "median_all5", "avg_3_v1", "avg_3_v2", "avg_3_v3",
        "single_1", "single_2", "single_3", "single_4", "single_5",
    ],
    "phase3_convlstm": [
        "ae_max_only", "patch_only", "ae_patch_50", "ae_patch_70", "ae_lstm_50", "ae_lstm_70", "all_equal", "ae_heavy",
        "lstm_only",
    ],
    "phase3_optical_flow": [
        "rgb_only", "flow_only", "rgb70_flow30", "rgb60_flow40", "rgb50_flow50", "rgb40_flow60", "rgb30_flow70",
        "max_fusion", "product_fusion",
    ],
    "phase4_alternative": ["pervid_gauss3", "hybrid_gauss3", "gauss3_median5", "median5_gauss3", "pervid_combined"],
    "phase4_gaussian": [
        "gauss_s3", "gauss_s4", "gauss_s5", "gauss_s6", "gauss_s7", "gauss_s8",
        "median_w3", "median_w5", "median_w7", "median_w9", "median_w11", "ema_a2", "ema_a3", "ema_a4", "ema_a5",
        "savgol_w7", "savgol_w11", "savgol_w15", "lat64_gauss_s3", "lat64_gauss_s4", "lat64_gauss_s5",
        "all_models", "latent128_only", "latent64_only", "latent64_128",
        "all_smooth0", "all_smooth1", "all_smooth2", "all_smooth3",
    ],
    "phase5_multiscale": ["small_only", "medium_only", "large_only", "equal", "medium_heavy", "max"],
}  # fmt: skip
ALL_VARIANTS = (
    VARIANTS
    | {name: VARIANTS[origin] for name, origin in REPAIRED.items()}
    | {"phase6_flow_bank": ["top3", "top9", "max"]}
    | {"phase6_fused": ["fused", "mean", "max", "ranks", "noisy_or", "moves", "looks"]}
    | {"phase6_residual_bank": ["mean", "background", "nearest", "colours", "edges", "changes", "coarse", "regions"]}
    | {"phase6_clip_ae": ["all", "clip_mean", "clip_patch", "clip_top", "frame_mean", "flow_patch", "flow_top"]}
    | {"phase6_features": ["with_flow", "features", "crops"]}
)


def test_there_are_experiments_among_them_the_references_eleven():
    assert {path.stem for path in EXPERIMENTS} == set(ALL_PARAMETERS) == set(ALL_VARIANTS)
    assert len(PARAMETERS) == len(VARIANTS) == 11


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=needs_features if p.stem == "phase6_features" else ()) for p in EXPERIMENTS],
)
def test_an_experiment_validates_builds_and_says_what_to_expect(path):
    loaded = load_entry(str(path))
    head = loaded.source.splitlines()
    assert head[0] == f"# make run EXP={path.stem}"
    comment = "\n".join(line for line in head if line.startswith("#"))
    for word in ("Hypothesis:", "Expect:", "Cost:"):
        assert word in comment
    plan = make_plan(loaded, labelled=True)
    counts = rehearse(plan)
    assert {plan.members[name].group: count for name, count in counts.items()} == ALL_PARAMETERS[path.stem]
    assert list(plan.variants) == ALL_VARIANTS[path.stem]
    assert plan.holdout == 0


def plan_of(name, profile="full"):
    (path,) = (path for path in EXPERIMENTS if path.stem == name)
    return make_plan(load_entry(str(path), profile), labelled=True)


def digests_of(*names):
    return {member.digest("frames") for name in names for member in plan_of(name).members.values()}


def test_the_whole_journey_trains_35_members():
    """The reference's notebooks trained 53; the rest are the same recipe, input and seed again."""
    assert len(digests_of(*PARAMETERS)) == 35
    # A name such as ae-42 says nothing of the recipe: two entries may call different members so.
    assert sum(len(plan_of(name).members) for name in PARAMETERS) == 46


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("phase2_max_error", "phase2_ensemble", 3),
        ("phase2_ensemble", "phase3_convlstm", 1),
        ("phase3_optical_flow", "phase4_gaussian", 3),
        ("phase4_alternative", "phase4_gaussian", 4),
        ("phase2_ensemble", "phase4_gaussian", 0),  # another min_delta
        ("phase5_multiscale", "phase4_gaussian", 0),  # another batch size
        ("phase1_convae_mean", "phase4_gaussian", 0),
        ("phase5_multiscale", "phase5_multiscale_repaired", 6),  # a repair is of test frames
        ("phase3_optical_flow", "phase3_optical_flow_repaired", 6),
    ],
)
def test_members_are_shared_where_recipes_coincide(first, second, shared):
    assert len(digests_of(first) & digests_of(second)) == shared


@pytest.mark.parametrize(("name", "origin"), REPAIRED.items())
def test_a_repaired_experiment_differs_from_its_origin_in_the_repair_alone(name, origin):
    settings = plan_of(name).settings()
    assert settings.pop("repair") == ["flips"]
    assert settings == plan_of(origin).settings()


@pytest.mark.parametrize("name", ["phase6_flow_bank", "phase6_residual_bank", "phase6_clip_ae", "phase6_fused"])
def test_phase_6_looks_at_no_test_frames_but_the_one_and_at_no_label(name):
    plan = plan_of(name)
    assert [repair.plain() for repair in plan.repair] == ["flips", "noise"]
    assert plan.choose == next(iter(plan.variants))
    if "flow" in plan.members and plan.members["flow"].model == "nearest_cells":
        assert (plan.members["flow"].view.height, plan.members["flow"].view.width) == (224, 384)
    for variant in plan.variants.values():
        assert variant.looks_at_train(plan.streams) and not variant.transductive(plan.streams)


@pytest.mark.parametrize(
    ("name", "variant", "streams", "steps"),
    [
        # Where normalisation, averaging, fusion and smoothing stand is what the experiments differ in.
        ("phase2_max_error", "mean70", {"mean": "mean 99", "max": "mean 99"}, "100"),
        ("phase2_ensemble", "avg_all5", {"avg_all5": "99 mean 99"}, ""),
        ("phase2_ensemble", "median_all5", {"median_all5": "99 median 99"}, ""),
        ("phase3_conv3d", "avg_all5", {"avg_all5": "99 mean 100"}, ""),
        ("phase3_conv3d", "single_4", {"single_4": "99"}, ""),
        ("phase3_optical_flow", "rgb60_flow40", {"rgb": "99 mean 99", "flow": "99 mean 99"}, "100"),
        ("phase3_convlstm", "ae_lstm_70", {"ae_max": "99", "lstm": "fill 99"}, "100"),
        ("phase4_gaussian", "gauss_s5", {"combined": "99 mean 100"}, "gaussian 100"),
        ("phase4_gaussian", "savgol_w11", {"combined": "99 mean 100"}, "savgol 100"),
        ("phase4_alternative", "hybrid_gauss3", {"global": "mean 99", "per_video": "mean 99/video"}, "100 gaussian 100"),
        ("phase4_alternative", "pervid_combined", {"per_video": "mean 99/video"}, "gaussian median_filter 100"),
        ("phase4_alternative", "median5_gauss3", {"global": "mean 99"}, "median_filter gaussian 100"),
        ("phase5_multiscale", "max", dict.fromkeys(("small", "medium", "large"), "99 mean 100"), "100 gaussian 100"),
        ("phase5_multiscale", "large_only", {"large": "99 mean 100"}, "gaussian 100"),
        ("phase1_unet_skip", "balanced", {"recon": "100", "gradient": "100", "ssim": "100", "temporal": "local_zscore 100"}, "100"),
        ("phase1_framediff_ae", "rank", {"patch": "fill"}, "rank"),
        ("phase1_convae_mean", "mean", {"mean": ""}, "100"),
    ],
)  # fmt: skip
def test_the_order_of_steps_is_the_references(name, variant, streams, steps):
    plan = plan_of(name)
    found = plan.variants[variant]
    assert {stream: _spelling(plan.streams[stream].steps) for stream in found.streams} == streams
    assert _spelling(found.steps) == steps


def _spelling(steps):
    words = []
    for step in steps:
        options = dict(step.options)
        if step.name == "normalize":
            words.append(f"{options['percentile']:g}" + ("/video" if options["scope"] == "video" else ""))
        else:
            words.append(step.name)
    return " ".join(words)


def test_the_demo_profile_keeps_the_networks_and_shortens_the_training():
    for name in ALL_PARAMETERS:
        full, demo = plan_of(name), plan_of(name, "demo")
        assert list(full.members) == list(demo.members)
        for key, member in demo.members.items():
            assert (member.model, member.options, member.view) == (
                full.members[key].model,
                full.members[key].options,
                full.members[key].view,
            )
            if member.training is None:
                assert member == full.members[key]
            else:
                assert member.training.epochs == {128: 3, 256: 1}.get(member.view.width, 6)


def test_what_is_set_for_all_training_goes_over_what_the_demo_profile_says_of_a_size():
    (path,) = (path for path in EXPERIMENTS if path.stem == "phase5_multiscale")
    plan = make_plan(load_entry(str(path), "demo", ("train.epochs=3",)), labelled=True)
    assert {member.training.epochs for member in plan.members.values()} == {3}
    plan = make_plan(load_entry(str(path), "demo", ("members.large.train.epochs=2",)), labelled=True)
    assert {member.training.epochs for member in plan.members.values()} == {6, 3, 2}


def test_a_profile_leaves_a_group_whose_training_is_no_mapping_to_the_check(tmp_path):
    (source,) = (path for path in EXPERIMENTS if path.stem == "phase5_multiscale")
    path = tmp_path / source.name
    path.write_text(source.read_text().replace("size: 256,", "size: 256, train: 5,"))
    with pytest.raises(InputError, match=r"members\.large\.train: "):
        load_entry(str(path), "demo")


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_references_experiments_keep_their_identity(name):
    plan = make_plan(load_entry(name), labelled=True)
    members = {key: member.digest("frames") for key, member in plan.members.items()}
    assert digest_of({"plan": plan.settings(), "members": members})[:16] == IDENTITIES[name]
