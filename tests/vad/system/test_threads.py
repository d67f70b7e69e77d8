"""How many processors a process may use: its affinity mask, and the CPU quota of its control group or its container."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vad.system import threads

PROCESSORS = len(os.sched_getaffinity(0))
COUNT = "from vad.system.threads import limit; print(limit())"
NOWHERE = Path("nowhere")


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write files of control groups, by path; `listed` is what /proc says of this process."""

    def write(listed: str, files: dict[str, str]) -> None:
        (tmp_path / "cgroup").write_text(listed)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(threads, "_PROC", tmp_path / "cgroup")
        monkeypatch.setattr(threads, "_CGROUPS", tmp_path / "fs")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))

    return write


@pytest.mark.parametrize(
    ("listed", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 64),
        ("0::/app/job\n", {"app/job/cpu.max": "max 100000\n", "app/cpu.max": "300000 100000\n"}, 3),
        # In a container: the path is the host's, what is mounted is the group itself.
        ("0::/docker/4711\n", {"cpu.max": "400000 100000\n"}, 4),
        ("4:cpu,cpuacct:/x\n0::/\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000", "cpu,cpuacct/x/cpu.cfs_period_us": "50000"}, 5),
        ("4:cpu:/docker/4711\n", {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ("5:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 64),
        ("0::/../..\n", {"cpu.max": "200000 100000\n"}, 2),
        ("", {}, 64),
    ],
)  # fmt: skip
def test_the_smallest_quota_counts(groups, listed, files, expected):
    groups(listed, files)
    assert threads.available() == expected


def test_where_the_system_has_no_control_groups_the_affinity_mask_counts(monkeypatch):
    monkeypatch.setattr(threads, "_PROC", NOWHERE)
    assert threads.available() == PROCESSORS


def test_an_affinity_mask_limits_decoding_and_computing():
    code = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); {COUNT}"
    assert printed(code) == 1


@pytest.mark.skipif(PROCESSORS < 2, reason="one processor")
def test_the_users_own_number_counts():
    assert (
        printed(f"import vad.system.threads; vad.system.threads.available = lambda: 1; {COUNT}", OMP_NUM_THREADS="2")
        == 2
    )
    assert printed(f"import vad.system.threads; vad.system.threads.available = lambda: 1; {COUNT}") == 1


def test_a_real_quota_is_found():
    """In a control group of this test's own, where this user may make one."""
    name = f"vad-test-{os.getpid()}"
    v1, v2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group, files = (v1 / name, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}) if v1.is_dir() else (v2 / name, {"cpu.max": "100000 100000"})  # fmt: skip
    try:
        group.mkdir()
        for file, text in files.items():
            (group / file).write_text(text)
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        join = f"import os, pathlib; pathlib.Path('{group}/cgroup.procs').write_text(str(os.getpid())); "
        assert printed(join + COUNT) == 1
    finally:
        group.rmdir()


def test_using_a_number_of_threads_ends_with_its_block():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads.using(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def printed(code: str, **settings: str) -> int:
    """The number that a process of its own prints."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"} | settings
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
