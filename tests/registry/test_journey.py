"""The journey: the reference's tables beside finished runs, and which of its claims hold, by the intervals."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from registry.entries.loading import all_experiments, journey_file, load_entry
from registry.entries.yaml_reader import read_yaml, validated
from registry.journey.retrace import Claim, Journey, Reference, Result
from registry.runs.context import Request
from vad.data.tables import read_scores, read_table, write_scores
from vad.errors import InputError
from vad.measures.metrics import Measured, Sampled, difference, sample

FILES = """\
name: files
hypothesis: Files stand in for networks, so that all figures are known.
streams:
  right: {scores: ../right.csv}
  wrong: {scores: ../wrong.csv}
  first: {scores: ../first.csv}
  second: {scores: ../second.csv}
variants:
  right: {stream: right}
  wrong: {stream: wrong}
  first: {stream: first}
  second: {stream: second}
"""
REFERENCE = """\
source: the tests
baseline: files:first
tables:
  - title: What was tried
    rows:
      - {phase: 1, approach: right in video 1, variant: files:first, ap: 0.41}
      - {phase: 1, approach: all wrong, variant: files:wrong, ap: [0.2, 0.25], why: it is the wrong way round}
      - {phase: 2, approach: all right, variant: files:right}
      - {phase: 3, approach: never run, variant: other:max, ap: 0.6}
claims:
  - {claim: right is right, better: files:right, than: files:wrong}
  - {claim: wrong is right, better: files:wrong, than: files:right}
  - {claim: wrong is no better, no_better: files:wrong, than: files:right}
  - {claim: right is no better, no_better: files:right, than: files:wrong}
  - {claim: first beats second, better: files:first, than: files:second}
  - {claim: the other helps, better: other:max, than: files:right}
"""


@pytest.fixture
def street(workspace):
    """A workspace with the entry `files` and a small reference; four kinds of scores lie in it."""
    table = read_table(Path("data/labels.csv"), "Label")
    index, labels = table.index, table.values
    noise = np.random.default_rng(5).random(len(index)) / 10
    scores = {"right": labels, "wrong": 1 - labels}
    for name, video in (("first", 1), ("second", 2)):
        scores[name] = np.where(index.video == video, labels, 1 - labels)
    for name, values in scores.items():
        write_scores(Path(f"{name}.csv"), index, values + noise)
    Path("experiments/files.yaml").write_text(FILES)
    Path("experiments/journey.yaml").write_text(REFERENCE)
    return workspace


def cells(text: str, start: str) -> list[str]:
    """The columns of the line that holds `start` in its first columns."""
    line = next(line for line in text.splitlines() if start in line)
    return re.split(r"\s{2,}", line.strip())


def test_reference_measured_and_difference_stand_in_one_row(street):
    street.done("run", "files", "--data", "data")
    text = street.done("journey", "--data", "data")
    table = read_table(Path("data/labels.csv"), "Label")
    index, labels = table.index, table.values
    first, wrong = (sample(read_scores(Path(f"{n}.csv"))[1], labels > 0, index) for n in ("first", "wrong"))
    run = street.tracking().find("experiment")[0].run_id[:8]
    m, d = wrong.measured, difference(wrong, first)
    change = f"{d.ap:+.4f} [{d.low:+.4f}, {d.high:+.4f}]"
    assert d.ap < 0
    expected = ["1", "all wrong", "files:wrong", "0.2000 to 0.2500"]
    assert cells(text, "all wrong") == [*expected, f"{m.ap:.4f}", f"{m.low:.4f} to {m.high:.4f}", change, run]
    assert cells(text, "right in video 1")[6:] == ["baseline", run]
    assert cells(text, "all right")[3:6] == ["-", "1.0000", "1.0000 to 1.0000"]
    assert "all wrong: it is the wrong way round" in text
    assert "data: 30 frames, 3 videos, prevalence 0.3000 (random scores have AP 0.3723 on average)" in text
    assert "runs: profile full, no overrides" in text


def test_verdicts_are_given_by_the_intervals(street):
    street.done("run", "files", "--data", "data")
    text = street.done("journey", "--data", "data")
    verdicts = {claim: cells(text, claim)[1] for claim in re.findall(r"claim: ([^,]+),", REFERENCE)}
    assert verdicts == {
        "right is right": "holds",
        "wrong is right": "does not hold",
        "wrong is no better": "holds",
        "right is no better": "does not hold",
        "first beats second": "undecided",
        "the other helps": "not run",
    }
    assert "holds: 2, does not hold: 2, undecided: 1, not run: 1" in text
    assert cells(text, "right is right")[3] == "files:right - files:wrong"


def test_what_was_not_run_says_so_with_its_command(street):
    street.done("run", "files", "--data", "data", "--labels", "data/labels.csv", "--profile", "demo")
    asked = ("--data", "data", "--labels", "data/labels.csv", "--profile", "demo")
    text = street.done("journey", *asked)
    assert cells(text, "never run") == ["3", "never run", "other:max", "0.6000", "not run", "-", "-", "-"]
    assert "not run yet; to run: make run EXP=other DATA=data LABELS=data/labels.csv PROFILE=demo\n" in text
    assert "they say nothing about real footage" in text


def test_markdown_and_picture_say_the_same_and_are_named(street):
    street.done("run", "files", "--data", "data")
    text = street.done("journey", "--data", "data")
    assert text.endswith("wrote journey/data/journey.md\nwrote journey/data/journey.png\n")
    page = Path("journey/data/journey.md").read_text()
    for name in ("all wrong", "right is no better"):
        assert f"| {' | '.join(cells(text, name))} |" in page
    assert "![AP of each approach, and the claims](journey.png)" in page
    assert "    make run EXP=other DATA=data\n" in page
    picture = cv2.imread("journey/data/journey.png")
    assert picture.shape[1] == 180  # as coarse as all pictures are in tests
    assert picture.min() < 100
    street.done("journey", "--data", "data", "--out", "elsewhere")
    assert Path("elsewhere/journey.png").read_bytes() == Path("journey/data/journey.png").read_bytes()


def test_json_has_what_the_tables_say(street):
    street.done("run", "files", "--data", "data")
    text = street.done("journey", "--data", "data")
    found = json.loads(street.vad("journey", "--data", "data", "--json").stdout)
    assert (found["data"], found["frames"], found["videos"], found["profile"]) == ("data", 30, 3, "full")
    assert found["not_run"] == ["other"] and found["baseline"] == "files:first"
    rows = {row["approach"]: row for row in found["rows"]}
    wrong = rows["all wrong"]
    assert (wrong["ap"], wrong["table"], wrong["why"]) == ([0.2, 0.25], "What was tried", "it is the wrong way round")
    assert f"{wrong['measured']['ap']:.4f}" == cells(text, "all wrong")[4]
    assert cells(text, "all wrong")[6].startswith(f"{wrong['vs_baseline']['ap']:+.4f}")
    assert wrong["run_id"] == street.tracking().find("experiment")[0].run_id
    assert rows["never run"]["measured"] is rows["never run"]["run_id"] is None
    assert {claim["claim"]: claim["verdict"] for claim in found["claims"]}["wrong is right"] == "does not hold"
    assert Path("journey/data/journey.md").is_file()


def test_a_folder_that_cannot_be_written_is_the_users_mistake(street):
    street.done("run", "files", "--data", "data")
    assert "cannot write first.csv/journey.png" in street.refused("journey", "--data", "data", "--out", "first.csv")


def test_without_labels_there_is_nothing_to_compare(street):
    message = street.refused("journey", "--data", "data", "--labels", "none")
    assert message.strip() == (
        "Error: data has no labels, and without them there is no AP to set beside the reference's; "
        "give LABELS=path (a CSV with Id,Label or a folder of N_label.mat)"
    )


def test_before_any_run_it_says_how_to_start(street):
    shutil.copytree("data", "my yard")
    street.done("run", "files", "--data", "data")
    Path("my yard/labels.csv").write_text(Path("data/labels.csv").read_text().replace("1_9,0", "1_9,1"))
    assert street.refused("journey", "--data", "my yard") == (
        "Error: no experiment of the journey was run on my yard with PROFILE=full\n"
        "run them all with: make run EXP=all DATA='my yard'\n"
    )
    assert not Path("journey").exists()


def test_runs_with_other_settings_are_named_and_can_be_chosen(street):
    street.done("run", "files", "--data", "data", "--set", "hypothesis=another")
    assert street.refused("journey", "--data", "data") == (
        "Error: no experiment of the journey was run on data with PROFILE=full\n"
        "there are runs with PROFILE=full SET=hypothesis=another: files\n"
        "run them all with: make run EXP=all DATA=data\n"
    )
    text = street.done("journey", "--data", "data", "--set", "hypothesis=another")
    assert "runs: profile full, set: hypothesis=another" in text
    assert "to run: make run EXP=other DATA=data SET=hypothesis=another\n" in text


def test_the_newest_run_that_has_its_scores_counts(street, tmp_path):
    street.done("run", "files", "--data", "data")
    shutil.copy("right.csv", "first.csv")
    street.done("run", "files", "--data", "data")
    new, old = street.tracking().find("experiment")
    assert cells(street.done("journey", "--data", "data"), "right in video 1")[4:] == [
        "1.0000", "1.0000 to 1.0000", "baseline", new.run_id[:8],
    ]  # fmt: skip
    table = street.tracking().fetch(new.run_id, "scores.csv", tmp_path)
    note = f"note: run {new.run_id[:8]} of files is passed over: its scores.csv is missing, damaged or altered (FORCE=1 runs it again)"
    rows = table.read_text().splitlines()
    for damaged in ("", "\n".join(rows[:-1]), "\n".join(rows).replace("wrong", "video")):
        table.write_text(damaged)
        text = street.done("journey", "--data", "data")
        assert cells(text, "right in video 1")[7] == old.run_id[:8]
        assert note in text
    table.unlink()
    assert note in street.done("journey", "--data", "data")


def test_a_variant_that_a_run_lacks_is_not_run(street):
    street.done("run", "files", "--data", "data")
    Path("experiments/journey.yaml").write_text(REFERENCE.replace("variant: files:right", "variant: files:gone"))
    text = street.done("journey", "--data", "data")
    assert cells(text, "all right")[4] == "not run"
    assert f"note: run {street.tracking().find('experiment')[0].run_id[:8]} of files has no variant gone" in text


@pytest.mark.parametrize(
    ("low", "high", "better", "no_better"),
    [
        (0.01, 0.2, "holds", "does not hold"),
        (-0.2, -0.01, "does not hold", "holds"),
        (-0.1, 0.1, "undecided", "undecided"),
        (0.0, 0.1, "undecided", "undecided"),
        (-0.1, 0.0, "does not hold", "holds"),
        (0.0, 0.0, "does not hold", "holds"),
    ],
)
@pytest.mark.parametrize("videos", [1, 2])
def test_the_rule(low, high, better, no_better, videos):
    def result(draws: list[float]) -> Result:
        return Result(Sampled(Measured(draws[0], 0, 1, 0.5, 0.2, 10, videos), np.asarray(draws)), "0" * 32)

    journey = Journey(Reference(source="", baseline="a:x", tables=[], claims=[]), "data", Request("all"))
    # 1001 draws, so that the quantiles fall on draws and not between two
    journey.results |= {"a:x": result([low] * 100 + [high] * 901), "a:y": result([0.0] * 1001)}
    for words, expected in (({"better": "a:x"}, better), ({"no_better": "a:x"}, no_better)):
        verdict, found = journey.verdict(Claim(claim="", **words, than="a:y"))
        assert (found.low, found.high, found.ap) == (low, high, low)
        assert verdict == (expected if videos > 1 else "undecided")
    assert journey.verdict(Claim(claim="", better="a:x", than="a:z")) == ("not run", None)


def test_scores_that_are_all_equal_are_told(street):
    path = Path("experiments/files.yaml")
    path.write_text(path.read_text().partition("  wrong: {stream")[0])
    index, scores = read_scores(Path("right.csv"))
    write_scores(Path("right.csv"), index, 0.5 + 0 * scores)
    said = street.done("run", "files", "--data", "data")
    told = (
        "found  nothing: of right all 30 scores are 0.5, so they rank nothing; does this experiment suit such frames?"
    )
    assert told in said and "worst" not in said


def test_one_video_decides_nothing(street):
    for video in ("02", "03"):
        shutil.rmtree(f"data/Dataset/testing_videos/{video}")
    for name in ("data/labels", "right", "wrong", "first", "second"):
        rows = Path(f"{name}.csv").read_text().splitlines()
        Path(f"{name}.csv").write_text("\n".join(row for row in rows if row[:2] not in ("2_", "3_")) + "\n")
    street.done("run", "files", "--data", "data")
    text = street.done("journey", "--data", "data")
    assert cells(text, "all wrong")[5] == "-"
    assert re.fullmatch(r"-0\.\d{4}", cells(text, "all wrong")[6])
    assert cells(text, "right is right")[1] == "undecided"
    assert "Too few videos for an interval (1), so no claim is decided." in text


def test_what_a_reference_says_is_no_experiment(street):
    assert [path.stem for path in all_experiments()] == ["files", "tiny"]
    assert "journey" not in street.done("check")
    assert 'unknown experiment "journey"' in street.refused("check", "journey")
    said = "this is not an experiment, but the file that `vad journey` reads; leave it out"
    for command in ("check", "run", "show"):
        assert said in street.refused(command, "experiments/journey.yaml")
    assert "there is no such file" in street.refused("check", "experiments/journey")
    every = sorted(map(str, Path("experiments").glob("*.yaml")))  # as a shell spells experiments/*.yaml
    assert every[1] == "experiments/journey.yaml"
    assert street.done("check", *every) == street.done("check")
    assert "journey" not in street.done("run", *every[:2], "--data", "data")


def test_without_a_journey_of_its_own_a_folder_has_the_projects(street):
    assert journey_file() == Path("experiments/journey.yaml")
    Path("experiments/journey.yaml").unlink()
    assert journey_file() == Path(__file__).parents[2] / "experiments/journey.yaml"


def test_the_reference_names_variants_that_exist_and_figures_that_agree():
    reference = validated(read_yaml(journey_file()), Reference)
    loaded = {name: load_entry(name).entry for name in reference.entries()}
    for name, variants in reference.entries().items():
        assert set(variants) <= set(loaded[name].variants), name
    for row in (row for table in reference.tables for row in table.rows):
        entry, _, variant = row.variant.partition(":")
        stated = loaded[entry].reference.variants.get(variant)
        assert row.ap is None or isinstance(row.ap, list) or stated in (None, row.ap), row.variant


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("baseline: files:first", "baseline: first", "line 2: baseline: string should match pattern"),
        ("phase: 2, approach", "phase: 2, aproach", "line 8: tables.0.rows.2.aproach: unknown key"),
        ("ap: 0.6}", "ap: 6}", "line 9: tables.0.rows.3.ap: input should be less than or equal to 1"),
        ("source: the tests", "source: a\nsource: b", "line 1: source: this key appears twice (lines 1 and 2)"),
        (" better: other:max,", "", "line 16: claims.5: give one of `better` and `no_better`"),
    ],
)
def test_the_reference_is_read_strictly(tmp_path, old, new, message):
    assert old in REFERENCE
    path = tmp_path / "reference.yaml"
    path.write_text(REFERENCE.replace(old, new))
    with pytest.raises(InputError) as caught:
        validated(read_yaml(path), Reference)
    assert str(caught.value).startswith(f"{path} has ")
    assert f", {message}" in str(caught.value)
