"""What waits for a worker of the cluster has no lock and no open run yet."""

from itertools import count
from types import SimpleNamespace

import pytest


def test_jobs_are_taken_as_workers_take_them(monkeypatch, tmp_path):
    engines = pytest.importorskip("registry.engines.ray")
    monkeypatch.setattr(engines, "_nodes", lambda: [{"CPU": 2.0}, {"CPU": 1.0}])
    engine = object.__new__(engines.RayEngine)
    taken, ended, numbers = [], [], count()

    def jobs():
        for number in range(100):
            taken.append(number)
            yield SimpleNamespace(resume=tmp_path / "none", number=number)

    def listen(running, seconds):
        """A worker begins with what has waited longest; with two at work, the first ends."""
        if waiting := [task for task in running.values() if not task.begun]:
            waiting[0].begun = True
        begun = [stream for stream, task in running.items() if task.begun]
        assert len(taken) - len(ended) <= 2 + 3
        if len(begun) == 2 or not waiting:
            task = running.pop(begun[0])
            ended.append(task.job.number)
            yield task.job, None

    monkeypatch.setattr(engine, "_submit", lambda task: next(numbers))
    monkeypatch.setattr(engine, "_listen", listen)
    assert [job.number for job, _ in engine.train(jobs())] == list(range(100)) == taken
