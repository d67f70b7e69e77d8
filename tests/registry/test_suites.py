"""Suites from the command line: one queue over entries and data sets, the matrix in every form, and in MLflow."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from registry.store import ui
from registry.suites.suite import read_suite
from tests.registry.conftest import TINY, mounted, paint_dataset

SUITE = """\
name: two
data:
  first: data
  second: {path: other, labels: labels.csv}
entries: [tiny, wider]
profile: full
"""


def _two(workspace):
    """A second data set, a second entry that shares two members with `tiny`, and a suite of both."""
    paint_dataset(workspace.folder / "other", seed=1)
    wider = TINY.replace("tiny", "wider").replace("size: 64, output: tanh", "size: 64, output: sigmoid")
    (workspace.folder / "experiments" / "wider.yaml").write_text(wider.replace("ap: 0.5, variants: {max: 0.5}, ", ""))
    (workspace.folder / "suite.yaml").write_text(SUITE)
    return workspace


@pytest.fixture
def two(workspace):
    return _two(workspace)


@pytest.fixture
def half(trained):
    """As `two`, with `tiny` run on the first data set."""
    return _two(trained)


def _matrix(workspace, *arguments):
    return json.loads(workspace.done("leaderboard", *(arguments or ("--suite", "suite.yaml")), "--json"))


def _suite_runs(workspace):
    return {run.tags["vad.entry"]: run for run in workspace.runs("suite")}


@pytest.mark.parametrize("recorded", [True, False])
def test_a_suite_of_a_store_that_cannot_be_written_is_printed(recorded, half):
    (half.folder / "suite.yaml").write_text("name: one\ndata: {first: data, demo: demo}\nentries: [tiny]\n")
    if recorded:
        half.done("leaderboard", "--suite", "suite.yaml")
    else:
        shutil.rmtree(".vad")  # the demo street with it, which is drawn for the moment
    with mounted(half.folder, "--bind", str(half.folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(half.folder)], check=True)
        result = half.vad("leaderboard", "--suite", "suite.yaml")
    assert result.exit_code == 0, result.output
    assert "suite one: AUC over all frames of a set" in result.stdout and "tiny on demo: not run yet" in result.stdout
    said = result.stderr.splitlines()[-1]
    assert said.startswith(f"note: the matrix is not in MLflow: cannot write {half.folder}/ml")
    assert said.count("cannot write") == 1 and "moved" not in said


def test_a_variant_has_the_interval_that_its_run_found(two):
    labels, entry = two.folder / "data" / "labels.csv", two.folder / "experiments" / "tiny.yaml"
    labels.write_text(labels.read_text().replace("3_4,0", "3_4,1"))  # an anomaly in each of three videos
    entry.write_text(f"{entry.read_text()}choose: max\n")
    (two.folder / "suite.yaml").write_text("name: one\nmetric: ap\ndata: {first: data}\nentries: [tiny]\n")
    printed = two.done("run", "--suite", "suite.yaml")
    (run,) = two.runs("experiment")
    (row,) = _matrix(two)["rows"]
    of_run = [run.metrics["ap_low"], run.metrics["ap_high"]]
    assert row["variant"] == "max" and row["cells"]["first"]["interval"] == pytest.approx(of_run, abs=1e-9)
    assert "intervals are of the variant shown" in printed


def test_figures_of_the_demo_profile_come_with_the_warning_of_a_single_run(two):
    warning = "Demo profile: these numbers show that everything works; they say nothing about real footage."
    (two.folder / "suite.yaml").write_text(SUITE.replace("profile: full", "profile: demo"))
    ran = two.done("run", "--suite", "suite.yaml")
    printed = two.done("leaderboard", "--suite", "suite.yaml")
    queued = two.done("run", "tiny", "wider", "--data", "data", "--profile", "demo")
    assert [text.count(warning) for text in (ran, printed, queued)] == [1, 1, 1]
    assert "Demo profile" not in two.done("leaderboard", "--data", "data", "--data", "other"), "of the full profile"


def test_a_suite_is_one_queue_and_ends_with_its_matrix(two):
    result = two.vad("run", "--suite", "suite.yaml")
    assert result.exit_code == 0, result.output
    assert "2 experiments on data " in result.stderr and "2 experiments on other " in result.stderr
    assert re.search(r"^wider on other +1 to train +\d+ s +2 as in tiny on other$", result.stderr, re.MULTILINE)
    assert len(two.runs("member")) == 8, "shared within a data set, never across"
    assert len(two.runs("experiment")) == 4
    assert re.search(r"^1[= ] +(tiny|wider) +\S+ +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4} ", result.stdout, re.MULTILINE)

    found = _matrix(two)
    assert [column["name"] for column in found["columns"]] == ["first", "second"] and not found["missing"]
    recorded = _suite_runs(two)
    assert set(recorded) == {"tiny", "wider"}
    for row in found["rows"]:
        figures = [cell["value"] for cell in row["cells"].values()]
        assert row["worst"] == min(figures)
        run = recorded[row["entry"]]
        assert (
            run.experiment == "suite: two"
            and run.tags["vad.suite"] == "two"
            and run.params["variant"] == row["variant"]
        )
        assert run.metrics["worst"] == row["worst"] and run.metrics["mean_rank"] == row["mean_rank"]
        assert [run.metrics[f"auc.{name}"] for name in ("first", "second")] == figures
    assert [row["hindsight"] for row in found["rows"] if row["entry"] == "tiny"] == [False]
    assert [row["variant"] for row in found["rows"] if row["entry"] == "tiny"] == ["max"], "the reference's"

    again = two.vad("run", "--suite", "suite.yaml")
    assert again.exit_code == 0 and len(re.findall(r"done already$", again.stdout, re.MULTILINE)) == 4
    assert {run.run_id for run in two.runs("suite")} == {run.run_id for run in recorded.values()}, "nothing changed"

    (two.folder / "suite.yaml").write_text(SUITE + "metric: ap\n")
    rows = list(csv.DictReader(io.StringIO(two.done("leaderboard", "--suite", "suite.yaml", "--csv"))))
    now = _suite_runs(two)
    assert len(two.runs("suite")) == 2, "one for each entry"
    assert not {run.run_id for run in now.values()} & {run.run_id for run in recorded.values()}
    for row in rows:
        assert now[row["entry"]].metrics["ap.second"] == float(row["second"])
        assert len(row["first run"]) == 32
    kept = two.tracking().client.get_experiment(now["tiny"].experiment_id).tags
    view = json.loads(json.loads(kept[ui.TAG])["state"])
    assert "metrics.`ap.second`" in view["selectedColumns"] and view["orderByKey"] == "metrics.`worst`"
    assert "| entry |" in kept["mlflow.note.content"]
    assert list(ui.leaderboards(two.tracking(), "http://there"))[-1] == "suite: two"
    assert "tiny" in two.done("leaderboard", "--all"), "suites are no runs of the leaderboard"
    assert "suite: " not in two.done("leaderboard")


def test_a_missing_cell_comes_with_the_command_that_fills_it(half):
    found = _matrix(half)
    missing = {(cell["entry"], cell["on"]): cell for cell in found["missing"]}
    assert set(missing) == {("tiny", "second"), ("wider", "first"), ("wider", "second")}
    assert [row["rank"] for row in found["rows"]] == [None, None]
    text = half.done("leaderboard", "--suite", "suite.yaml")
    assert "tiny on second: not run yet" in text and "a row without all sets" in text
    command = missing["tiny", "second"]["command"]
    assert command == "vad run tiny --suite suite.yaml"
    assert half.vad(*command.split()[1:]).exit_code == 0
    row = _matrix(half)["rows"][0]
    assert row["entry"] == "tiny" and row["rank"] == 1 and set(row["cells"]) == {"first", "second"}


def test_runs_by_another_protocol_fill_no_cell_and_are_named(half):
    labels = (half.folder / "data" / "labels.csv").read_text()
    (half.folder / "data" / "labels.csv").write_text(labels.replace("1_3,1", "1_3,0"))
    assert "was made by another protocol: other labels" in half.done("leaderboard", "--suite", "suite.yaml")
    (half.folder / "data" / "labels.csv").write_text(labels)
    (half.folder / "suite.yaml").write_text(SUITE + 'set: ["train.epochs=1"]\n')
    text = half.done("leaderboard", "--suite", "suite.yaml")
    assert "was made by another protocol: profile full, no overrides" in text
    (half.folder / "suite.yaml").write_text(SUITE)
    entry = half.folder / "experiments" / "tiny.yaml"
    entry.write_text(entry.read_text().replace("{gaussian: 1}", "{gaussian: 2}"))
    assert "by an earlier form of the entry" in half.done("leaderboard", "--suite", "suite.yaml")


def test_data_sets_of_the_command_line_are_a_suite_too(half):
    result = half.vad("run", "tiny", "--data", "data", "--data", "other")
    assert result.exit_code == 0, result.output
    assert re.search(r"^tiny +data +\S+ +.* done already$", result.stdout, re.MULTILINE)
    assert "suite data + other: AUC" in result.stdout
    found = _matrix(half, "--suite", "--data", "data", "--data", "other")
    assert [row["entry"] for row in found["rows"]] == ["tiny"], "the entries that were run"
    assert found["rows"][0]["worst"] is not None
    half.done("run", "wider", "--data", "data")
    (cell,) = _matrix(half, "--data", "data", "--data", "other")["missing"]
    assert cell["command"] == "vad run wider --data other --profile full"
    (half.folder / "experiments" / "wider.yaml").unlink()
    result = half.vad("leaderboard", "--suite", "--data", "data", "--data", "other")
    assert result.exit_code == 0 and 'note: wider is left out: unknown experiment "wider"' in result.stderr
    assert "wider" not in result.stdout


def test_data_sets_without_labels_are_run_and_make_no_matrix(half):
    (half.folder / "other" / "labels.csv").unlink()
    result = half.vad("run", "tiny", "--data", "data", "--data", "other")
    assert result.exit_code == 0, result.output
    assert re.search(r"^tiny +other +\S+ +\d\.\d{4} \(proxy AP\) .* \w{8}$", result.stdout, re.MULTILINE)
    assert "no matrix: --data other: it has no labels" in result.stderr and "worst case" not in result.stdout


def test_a_data_set_that_cannot_be_decoded_does_not_stop_the_others(half):
    frame = half.folder / "other" / "Dataset" / "testing_videos" / "02" / "frame_00004.jpg"
    frame.write_bytes(frame.read_bytes()[:200])
    result = half.vad("run", "wider", "--data", "other", "--data", "data")
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "the queue continues with the other data sets" in result.stderr
    assert re.search(r"^wider +other +failed .*frame_00004\.jpg", result.stdout, re.MULTILINE)
    assert re.search(r"^wider +data +\S+ +\d\.\d{4}", result.stdout, re.MULTILINE)
    assert "1 of 2 experiments failed" in result.stdout and "wider on other: not run yet" in result.stdout
    again = half.vad("run", "wider", "--data", "other", "--data", "data")
    assert again.exit_code == 1 and re.search(r"^wider +data .* done already$", again.stdout, re.MULTILINE)


def test_paths_are_relative_to_the_file_and_the_matrix_is_drawn(half, monkeypatch, tmp_path):
    elsewhere = half.folder / "suites"
    elsewhere.mkdir()
    text = SUITE.replace("first: data", "first: ../data").replace("path: other", "path: ../other")
    (elsewhere / "suite.yaml").write_text(text.replace("[tiny, wider]", "[../experiments/tiny.yaml]"))
    shutil.copy(half.folder / "other" / "labels.csv", elsewhere / "labels.csv")
    half.done("leaderboard", "--suite", "suites/suite.yaml", "--picture", "suite.png")
    assert Path("suite.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_street_is_a_data_set_of_its_own_name(two, monkeypatch):
    monkeypatch.setenv("SETS", str(two.folder))
    (two.folder / "suite.yaml").write_text(
        SUITE.replace("first: data", "street: demo\n  folder: ./demo\n  first: $SETS/data")
    )
    street, folder, first, second = read_suite(Path("suite.yaml")).sources
    assert street.path is None and folder.path == "demo" and first.path == str(two.folder / "data")
    assert (second.path, second.labels) == ("other", "other/labels.csv"), "labels beside the file, else beside the data"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("first: data", "first: gone", "suite.yaml, line 3: data.first: "),
        ("path: other", "pfad: other", "line 4: data.second.pfad: unknown key; did you mean \"path\"?"),
        ("entries: [tiny, wider]", "entries: [tiny, tiny]", "line 5: entries: names tiny twice"),
        ("entries: [tiny, wider]", "entries: [tiny, widr]", 'unknown experiment "widr"; did you mean "wider"?'),
        ("profile: full", "profile: ful", 'line 6: profile: unknown profile "ful"; did you mean "full"?'),
        ("profile: full", "metric: eer", "line 6: metric: input should be 'auc' or 'ap'"),
        ("second: {path: other, labels: labels.csv}", "second: data", "these are the frames and labels of first"),
        ("labels: labels.csv", "labels: none", "line 4: data.second: it has no labels"),
        ("name: two", "name: 'a: b'", "line 1: name: "),
        (SUITE, "", "line 1: the file: must hold keys (name, metric, data, entries, profile, set), and is empty"),
        (SUITE, "- two", "the file: must hold keys (name, metric, data, entries, profile, set), not ['two']"),
        ("first: data", "first: 5", "line 3: data.first: must hold keys (path, labels, first_frame), not 5"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run", "leaderboard"])
def test_a_suite_with_a_fault_is_refused_with_its_line(two, command, old, new, said):
    assert old in SUITE
    (two.folder / "suite.yaml").write_text(SUITE.replace(old, new))
    assert said in two.refused(command, "--suite", "suite.yaml")
    assert not two.runs("experiment")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--suite", "suite.yaml", "--data", "data"], "suite.yaml says data and settings; leave out --data"),
        (["run", "--suite", "suite.yaml", "--set", "train.epochs=1"], "leave out --set"),
        (["run", "--suite", "gone.yaml"], "cannot read gone.yaml"),
        (["run", "tiny", "--data", "data", "--data", "./data"], "--data data is given twice"),
        (["run", "tiny", *["--data", "data", "--data", "other", "--labels", "a", "--labels", "b", "--labels", "c"]],
         "--labels is given 3 times for 2 data sets"),
        (["run", "tiny", "--data", "data", "--labels", "a", "--labels", "b"], "give it once"),
        (["run", "--data", "data", "--data", "other"], "name an experiment"),
        (["run"], "name an experiment"),
        (["leaderboard", "--suite"], "--suite takes a file"),
        (["leaderboard", "--picture", "x.png"], "add --suite FILE"),
        (["leaderboard", "--suite", "suite.yaml", "--all"], "leave it out with a suite"),
    ],
)  # fmt: skip
def test_options_that_contradict_a_suite_are_refused(two, arguments, said):
    assert said in two.refused(*arguments)


RULE = "same_data: true\nmin_gain: 0.0\nconfidence: 0.5\nsuite: {file: suite.yaml, worst: 0.85}\n"


def test_promotion_asks_for_the_worst_case_of_a_suite(two):
    (two.folder / "promotion.yaml").write_text(RULE)
    text = two.done("run", "tiny", "--data", "data")
    assert "not promoted: tiny has no figure on second of suite two; to run: vad run tiny --suite suite.yaml" in text
    assert "there is no production model" in two.done("history")

    two.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert "was made with another profile or other overrides than suite two has" in two.done("history")

    right = (two.folder / "other" / "labels.csv").read_text()
    wrong = re.sub(r"(?<=,)[01]$", lambda label: str(1 - int(label[0])), right, flags=re.MULTILINE)
    (two.folder / "other" / "labels.csv").write_text(wrong)
    two.done("run", "tiny", "--data", "other")
    said = re.search(
        r"its worst case in suite two is auc (0\.\d{4}) on second, and 0\.85 is asked", two.done("history")
    )
    assert said and float(said[1]) < 0.5

    (two.folder / "other" / "labels.csv").write_text(right)
    assert "now production: there was no production model" in two.done("run", "tiny", "--data", "other")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("suite.yaml", "gone.yaml", "cannot read gone.yaml"),
        ("worst: 0.85", "worst: 85", "line 4: suite.worst: input should be less than or equal to 1"),
        ("worst: 0.85", "least: 0.85", "line 4: suite.least: unknown key (known: file, worst)"),
    ],
)
def test_a_rule_on_a_suite_with_a_fault_is_refused_before_the_work(two, old, new, said):
    (two.folder / "promotion.yaml").write_text(RULE.replace(old, new))
    assert said in two.refused("run", "tiny", "--data", "data")
    assert not two.runs("experiment")
