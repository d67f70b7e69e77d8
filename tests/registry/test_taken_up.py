"""What was cut off is taken up by one process, whichever comes first, and as what it was; who is gone is known by all."""

import json
import os
import threading
import time
from pathlib import Path

import mlflow
import psutil
import pytest
from mlflow.entities import Run, RunData, RunTag

from benchmarks.at_once import at_once, forks, write_entry
from registry.models.versions import Versions
from registry.runs import executor
from registry.runs.members import MemberStore
from registry.store import processes
from registry.store.processes import ALIVE, LEASE, this_process
from registry.store.tags import stored
from registry.store.tracking import Tracking
from vad.system.processes import machine, own_mark, started

STATES = ("FINISHED", "FAILED", "KILLED", "RUNNING")
RUN = ("run", "tiny", "--data", "data")
HERE = {"vad.host": "another 00000000", "vad.pid": "1", "vad.process": "1"}


@pytest.fixture
def cut_off(workspace):
    """A run that was cut off, and the arguments that take it up."""
    tracking = workspace.tracking()
    opening = (tracking.experiment("e", {}), "experiment", "d", "tiny", {})
    log = tracking.open_run(*opening)
    log.end("KILLED")
    return log.run_id, opening


def _take_up(folder, opening, together, taken):
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # of the test that started the server of forks
    tracking = Tracking()
    together.wait()
    taken.put(tracking.open_run(*opening).run_id)
    together.wait()  # all are alive until all have one


def test_of_five_processes_one_takes_up_what_was_cut_off(cut_off, workspace):
    run_id, opening = cut_off
    context = forks()
    together, taken = context.Barrier(5), context.Queue()
    started = [context.Process(target=_take_up, args=(workspace.folder, opening, together, taken)) for _ in range(5)]
    for process in started:
        process.start()
    ids = [taken.get(timeout=60) for _ in started]
    for process in started:
        process.join()
    assert len(set(ids)) == 5 and run_id in ids


def test_a_run_of_which_another_process_was_first_is_left_to_it(cut_off, workspace):
    run_id, opening = cut_off
    other = {"vad.host": this_process()["vad.host"], "vad.pid": str(os.getppid()), "vad.process": started(os.getppid())}
    workspace.tracking().client.log_param(run_id, "vad.taken_up.1", json.dumps(other))
    assert workspace.tracking().open_run(*opening).run_id != run_id


def test_a_run_that_is_taken_up_while_another_reads_it_is_left_alone(cut_off, workspace, monkeypatch):
    """MLflow reads a run's status, parameters and tags one after the other: here all but the tags are of before."""
    run_id, opening = cut_off
    tracking, read, reads = workspace.tracking(), mlflow.MlflowClient.get_run, []
    before = tracking.client.get_run(run_id)
    other = {"vad.host": this_process()["vad.host"], "vad.pid": str(os.getppid()), "vad.process": started(os.getppid())}
    with monkeypatch.context() as patch:
        patch.setattr("registry.store.tracking.this_process", lambda: other)
        assert tracking.open_run(*opening).run_id == run_id

    def torn(client, wanted):
        found = read(client, wanted)
        reads.append(wanted)
        tags = [RunTag(key, value) for key, value in found.data.tags.items()]
        return Run(before.info, RunData(tags=tags)) if reads.count(run_id) == 1 else found

    monkeypatch.setattr(mlflow.MlflowClient, "get_run", torn)
    assert tracking.open_run(*opening).run_id != run_id
    assert run_id in reads


def test_a_run_whose_taker_was_killed_at_that_is_taken_up_after_all(cut_off, workspace):
    run_id, opening = cut_off
    gone = {**this_process(), "vad.pid": "0"}
    workspace.tracking().client.log_param(run_id, "vad.taken_up.1", json.dumps(gone))
    tracking = workspace.tracking()
    for number in (2, 3):
        log = tracking.open_run(*opening)
        assert log.run_id == run_id
        assert tracking.get(run_id).status == "RUNNING" and tracking.get(run_id).tags["vad.taken_up"] == str(number)
        assert tracking.get(run_id).params == {}
        log.end("FAILED")


def test_an_experiment_that_was_cut_off_and_is_asked_for_by_three_is_run_once(workspace, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(executor, "log_results", _stop)
        assert workspace.vad(*RUN).exit_code == 130
    ended = at_once([RUN] * 3, workspace.folder)
    assert [end.status for end in ended] == [0, 0, 0], ended
    assert sum("is done already" in end.said for end in ended) == 2
    tracking = workspace.tracking()
    runs, members = (tracking.find(kind, statuses=STATES) for kind in ("experiment", "member"))
    assert [run.status for run in runs] == ["FINISHED"] and len(members) == 3
    assert len(Versions(tracking).all()) == 1


def _stop(*given, **named):
    raise KeyboardInterrupt


def test_force_goes_on_where_it_was_cut_off(trained, monkeypatch):
    keep, kept = MemberStore.keep, []

    def keep_two(store, member, *more):
        if len(kept) == 2:
            _stop()
        kept.append(member.name)
        return keep(store, member, *more)

    before = {run.run_id for run in trained.runs("member")}
    with monkeypatch.context() as patch:
        patch.setattr(MemberStore, "keep", keep_two)
        assert trained.vad(*RUN, "--force").exit_code == 130
    result = trained.vad(*RUN, "--force")
    assert result.exit_code == 0, result.output
    assert "FORCE=1 resumes the forced run that was interrupted, begun " in result.stderr
    assert result.stderr.count("to train: FORCE=1") == 1
    assert len({run.run_id for run in trained.runs("member")} - before) == 3
    assert len(trained.runs("experiment")) == 2
    assert {run.status for run in trained.runs("experiment")} == {"FINISHED"}
    anew = trained.vad(*RUN, "--force")
    assert "resumes" not in anew.stderr and anew.stderr.count("to train: FORCE=1") == 3
    assert len(trained.runs("experiment")) == 3


def test_a_forced_queue_goes_on_with_the_experiments_that_it_had_finished(workspace, monkeypatch):
    for name, seeds in (("one", [1]), ("two", [1, 2]), ("three", [3])):
        write_entry(workspace.folder, name, seeds)
    queue = ("run", "one", "two", "three", "--data", "data", "--force")
    log_members, logged = executor.log_members, []

    def log_two(*given):
        if len(logged) == 2:
            _stop()
        logged.append(True)
        log_members(*given)

    with monkeypatch.context() as patch:
        patch.setattr(executor, "log_members", log_two)
        assert workspace.vad(*queue).exit_code == 130
    result = workspace.vad(*queue)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("done already") == 2
    assert workspace.states("experiment") == dict.fromkeys(["one", "two", "three"], "FINISHED")
    assert len(workspace.runs("experiment")) == len(workspace.runs("member")) == 3
    assert list(Path(".vad/forced").iterdir()) == []


def test_a_plain_run_is_not_taken_for_a_part_of_a_forced_one(workspace, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(executor, "log_members", _stop)
        assert workspace.vad(*RUN).exit_code == 130
    result = workspace.vad(*RUN, "--force")
    assert result.stderr.count("to train: FORCE=1") == 3
    assert len(workspace.runs("member")) == 6


@pytest.mark.parametrize(
    ("age", "status"), [(LEASE + 60, "KILLED"), (LEASE / 2, "RUNNING"), (-3600, "RUNNING"), (None, "RUNNING")]
)
def test_a_run_of_another_container_is_gone_when_its_lease_is_over(workspace, age, status):
    tracking = workspace.tracking()
    opening = (tracking.experiment("e", {}), "experiment", "d", "tiny", {})
    log = tracking.open_run(*opening)
    log.tags(HERE)
    log._lease.end()
    if age is None:  # as earlier versions left it
        tracking.client.delete_tag(log.run_id, stored(ALIVE))
    else:
        log.tags({ALIVE: time.time() - age})
    doctor = workspace.vad("doctor")
    assert ("RUNNING, but the process is gone" in doctor.stdout) == (status == "KILLED")
    assert (tracking.open_run(*opening).run_id == log.run_id) == (status == "KILLED")


def test_a_run_that_nobody_goes_on_with_is_marked(workspace):
    tracking = workspace.tracking()
    log = tracking.open_run(tracking.experiment("e", {}), "experiment", "d", "tiny", {})
    log.tags({**HERE, ALIVE: time.time() - 2 * LEASE})
    workspace.done("leaderboard")
    assert workspace.states("experiment") == {"tiny": "KILLED"}


def test_a_lease_is_renewed_while_a_run_is_open_whatever_the_store_says(workspace, monkeypatch):
    monkeypatch.setattr(processes, "RENEWED_EVERY", 0.01)
    tried, set_tag = [], mlflow.MlflowClient.set_tag

    def fail_twice(client, run_id, key, value):
        tried.append(key)
        if len(tried) < 3:
            raise OSError("away")
        set_tag(client, run_id, key, value)

    monkeypatch.setattr(mlflow.MlflowClient, "set_tag", fail_twice)
    tracking = workspace.tracking()
    log = tracking.open_run(tracking.experiment("e", {}), "experiment", "d", "tiny", {})
    log.tags({ALIVE: "0"})
    _until(lambda: tracking.get(log.run_id).tags[ALIVE] != "0")
    log.end("FINISHED")
    assert not log._lease._thread.is_alive() and set(tried) == {stored(ALIVE)}


def test_a_store_that_hangs_holds_up_no_end(workspace, monkeypatch):
    monkeypatch.setattr(processes, "RENEWED_EVERY", 0.01)
    hanging, over = threading.Event(), threading.Event()
    monkeypatch.setattr(mlflow.MlflowClient, "set_tag", lambda *given: (hanging.set(), over.wait()))
    tracking = workspace.tracking()
    log = tracking.open_run(tracking.experiment("e", {}), "experiment", "d", "tiny", {})
    assert hanging.wait(30)
    try:
        log.end("FINISHED")
        assert log._lease._thread.is_alive() and log._lease._thread.daemon
    finally:
        over.set()
    assert workspace.states("experiment") == {"tiny": "FINISHED"}


def _until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_process_that_left_its_status_alone_is_gone():
    child = os.fork()
    if not child:
        os._exit(0)
    try:
        _until(lambda: psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
        assert started(child) == ""
    finally:
        os.waitpid(child, 0)
    assert started(os.getpid()).isdigit() and str(os.getpid()) in own_mark()


def test_machines_of_one_image_differ(monkeypatch):
    read, mine = Path.read_text, machine.__wrapped__()
    again = {"/proc/sys/kernel/random/boot_id": "another start"}
    monkeypatch.setattr(Path, "read_text", lambda path, *more: again.get(str(path)) or read(path, *more))
    assert mine == machine() != machine.__wrapped__()
    monkeypatch.undo()
    monkeypatch.setattr("socket.gethostname", lambda: "another-container")
    assert machine.__wrapped__() != mine
