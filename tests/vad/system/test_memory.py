"""Memory that tensors free stays with the process, in whatever thread they are made."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, threading
import torch
from vad.system.memory import keep_freed_memory

def work():
    torch.set_num_threads(1)
    keep_freed_memory()
    def take():
        for _ in range(5):
            taken = [torch.ones(1 << 20) for _ in range(30)]
            del taken
    take()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    take()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_thread_that_trains_takes_no_memory_twice():
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # as the Ray engine starts its workers
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # 13,313 with a heap for each thread
