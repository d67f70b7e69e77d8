"""What a person sees among the tags of a run's page, and that what is hidden, or was named by an earlier version, is found."""

import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from registry.models.versions import NAME
from registry.store.address import sqlite_uri
from registry.store.tags import SHOWN
from registry.store.tracking import Tracking


def visible(tags: dict[str, str]) -> set[str]:
    """The tags that MLflow's UI shows."""
    return {name for name in tags if not name.startswith("mlflow.")}


@pytest.mark.parametrize("kind", ["experiment", "member", "submission", "decision"])
def test_a_runs_page_shows_at_most_ten_tags(trained, kind):
    trained.done("submit", "--model", "v1")
    client = mlflow.MlflowClient(sqlite_uri(Path("mlflow.db").resolve()))
    runs = Tracking().find(kind)
    for run in runs:
        shown = visible(client.get_run(run.run_id).data.tags)
        assert len(shown) <= 10 and shown <= SHOWN, shown
        assert "vad.digest" in run.tags and "vad.digest" not in shown
    assert runs


def test_a_runs_page_shows_its_result_among_the_tags_above_the_fold(finished):
    (run,) = Tracking().find("experiment")
    tags = mlflow.MlflowClient(sqlite_uri(Path("mlflow.db").resolve())).get_run(run.run_id).data.tags
    assert tags["vad.result"].startswith(f"{run.params['best_variant']}: AP {run.metrics['ap']:.4f} [")


def test_the_page_of_a_suites_run_shows_what_it_is_of(finished):
    finished.done("leaderboard", "--data", "data")
    (run,) = Tracking().find("suite")
    client = mlflow.MlflowClient(sqlite_uri(Path("mlflow.db").resolve()))
    shown = visible(client.get_run(run.run_id).data.tags)
    assert {"vad.suite", "vad.entry", "vad.variant_chosen_by"} <= shown <= SHOWN and len(shown) <= 10


def test_a_versions_page_shows_what_a_person_looks_for(finished):
    tags = mlflow.MlflowClient(sqlite_uri(Path("mlflow.db").resolve())).get_model_version(NAME, "1").tags
    assert visible(tags) == {"ap", "reference_ap", "variant", "entry", "data", "profile", "vad.decision"}


@pytest.fixture
def earlier(trained):
    """A store in which every tag has the name that earlier versions gave it."""
    trained.done("submit", "--model", "v1", "--out", "then.csv")
    with closing(sqlite3.connect("mlflow.db")) as opened, opened:
        for table in ("tags", "model_version_tags"):
            renamed = f"UPDATE {table} SET key = substr(key, 8) WHERE key LIKE 'mlflow.vad%'"
            assert opened.execute(renamed).rowcount > 0
    return trained


def test_a_store_of_an_earlier_version_is_used_as_it_is(earlier):
    assert "tiny is done already" in earlier.vad("run", "tiny", "--data", "data").stderr
    assert "not altered" in earlier.done("explain", "then.csv")
    assert "sound: " in earlier.done("doctor")
    again = earlier.vad("run", "tiny", "--data", "data", "--set", "train.epochs=2", "--set", "streams.small.error=mean")
    assert again.exit_code == 0 and "train small-1  " not in again.stderr, again.stderr
    assert earlier.done("leaderboard", "--all").count("tiny") == 2
    assert [run.tags["vad.entry"] for run in earlier.runs("experiment")] == ["tiny", "tiny"]


def test_a_run_that_an_earlier_version_left_open_is_taken_up_and_found_once(earlier):
    (run,) = earlier.runs("experiment")
    with closing(sqlite3.connect("mlflow.db")) as opened, opened:
        opened.execute("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?", (run.run_id,))
    earlier.done("run", "tiny", "--data", "data")
    assert [(found.run_id, found.status) for found in earlier.runs("experiment")] == [(run.run_id, "FINISHED")]


def test_where_no_earlier_version_wrote_each_search_asks_once(finished, monkeypatch):
    tracking, asked, search = Tracking(), [], mlflow.MlflowClient.search_runs

    def counted(*given, **named):
        asked.append(given)
        return search(*given, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "search_runs", counted)
    for digest in ("a", "b", "c"):
        assert tracking.find("member", digest) == []
    assert len(asked) == 4, "one of them for runs of an earlier version"
