"""How many workers the suite takes: no more than memory holds, whatever the number of processors."""

import pytest

GB = 1_000_000_000


@pytest.fixture
def conftest(request):
    (found,) = (plugin for plugin in request.config.pluginmanager.get_plugins() if hasattr(plugin, "MOST_WORKERS"))
    return found


@pytest.mark.parametrize(
    ("processors", "free", "expected"),
    [(2, 24 * GB, 4), (64, 256 * GB, 8), (64, 10 * GB, 3), (1, 64 * GB, 2), (4, 1 * GB, 1)],
)
def test_workers(conftest, monkeypatch, processors, free, expected):
    monkeypatch.setattr(conftest, "available", lambda: processors)
    monkeypatch.setattr(conftest, "free_memory", lambda: free)
    assert conftest.pytest_xdist_auto_num_workers() == expected


def test_free_memory_is_some_of_this_machines(conftest):
    assert 10**8 < conftest.free_memory() < 10**14
