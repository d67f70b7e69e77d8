"""A run on a Ray cluster that loses a node, tracked by an MLflow server over PostgreSQL; beside the same run at home.

    .venv/bin/python benchmarks/ray_cluster.py

Everything is on this machine, bound to 127.0.0.1 and thrown away afterwards: a PostgreSQL (Debian: `apt-get install
postgresql`), an `mlflow server` that hands artifacts through (`pip install -e '.[postgresql]'`), a Ray cluster of two nodes
(`pip install -e '.[ray]'`). When each node has trained an epoch, one is killed. Prints what the run said, what
the server holds, and whether the scores are those of the local engine, bit for bit.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback; Ray reads it when it is imported

from registry.store.tracking import Found, Tracking

HOST = "127.0.0.1"
ENTRY = """\
name: trio
hypothesis: Three seeds on two nodes, one of which is lost.
members:
  small: {model: conv_ae, size: 64, latent: 16, batch_size: 8, seeds: [1, 2, 3]}
train: {loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 6, precision: fp32}
streams:
  small: {members: small, error: max, steps: [mean, {normalize: 99}]}
variants:
  small: {stream: small, steps: [{gaussian: 2}]}
"""
VAD = [sys.executable, "-m", "registry.cli", "run", "trio.yaml"]


def main() -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vad-ray-")))
        folder.chmod(0o755)  # PostgreSQL runs as another user where this is root
        (folder / "trio.yaml").write_text(ENTRY)
        print("at home: the local engine, runs in SQLite", flush=True)
        subprocess.run(VAD, cwd=folder, env=_environment(), check=True)
        at_home = _scores(Tracking(f"sqlite:///{folder / 'mlflow.db'}"), folder)

        database = stack.enter_context(postgresql(folder / "postgresql"))
        server = stack.enter_context(mlflow_server(database, folder / "artifacts"))
        print(f"\nelsewhere: two Ray nodes, runs on an MLflow server over {database}", flush=True)
        lose_a_node(server, folder)

        tracking = Tracking(server)
        print()
        for run in [*tracking.find("experiment"), *tracking.find("member")]:
            location = tracking.client.get_run(run.run_id).info.artifact_uri
            print(f"{run.name:<10} {run.status:<10} {len(run.metrics):>3} metrics, artifacts {location}")
        print("rows in PostgreSQL:", _rows(database))
        print("files of artifacts:", sum(path.is_file() for path in (folder / "artifacts").rglob("*")))
        same = _scores(tracking, folder) == at_home
        print("scores of the two runs:", "the same, bit for bit" if same else "DIFFERENT")
    sys.exit(not same)


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own; yields its address."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = shutil.which("initdb", path=str(programs[-1])) if programs else shutil.which("initdb")
    if initdb is None:
        sys.exit("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder.mkdir()
    user = []
    if os.geteuid() == 0:  # which PostgreSQL refuses
        shutil.chown(folder, "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    port, data = _free_port(), str(folder / "data")
    quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, "check": True}
    subprocess.run([*user, initdb, "-D", data, "-U", "mlflow", "--auth=trust"], **quiet)
    control = [*user, str(Path(initdb).with_name("pg_ctl")), "-D", data, "-w"]
    options = f"-c listen_addresses={HOST} -c port={port} -c unix_socket_directories={folder}"
    subprocess.run([*control, "start", "-l", str(folder / "log"), "-o", options], **quiet)
    try:
        yield f"postgresql+psycopg2://mlflow@{HOST}:{port}/postgres"
    finally:
        subprocess.run([*control, "stop", "-m", "immediate"], **quiet)


@contextlib.contextmanager
def mlflow_server(database: str, artifacts: Path) -> Iterator[str]:
    """An MLflow server through which artifacts go; yields its address."""
    address = f"http://{HOST}:{(port := _free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database, "--serve-artifacts", "--artifacts-destination", str(artifacts)]
    with (artifacts.parent / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=artifacts.parent, start_new_session=True)
    try:
        _wait_for(lambda: server.poll() is not None or _answers(f"{address}/health"))
        if server.poll() is not None:
            sys.exit((artifacts.parent / "server.log").read_text())
        yield address
    finally:
        server.terminate()
        server.wait()


def lose_a_node(server: str, folder: Path) -> None:
    """Run the entry on two nodes and kill one of them when two members have finished an epoch each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    cluster.add_node(num_cpus=1, include_dashboard=False)
    second = cluster.add_node(num_cpus=1)
    given = _environment(RAY_ADDRESS=cluster.address, MLFLOW_TRACKING_URI=server)
    try:
        running = subprocess.Popen([*VAD, "--engine", "ray"], cwd=folder, env=given)
        _wait_for(lambda: running.poll() is not None or len(_begun(server)) == 2)
        cluster.remove_node(second, allow_graceful=False)
        print("  (one of the two nodes was killed)", file=sys.stderr, flush=True)
        if running.wait():
            sys.exit("the run failed")
    finally:
        cluster.shutdown()


def _begun(server: str) -> list[Found]:
    return [run for run in Tracking(server).find("member", statuses=("RUNNING",)) if "loss" in run.metrics]


def _environment(**more: str) -> dict[str, str]:
    """One thread a member, so that two nodes of one processor each have room for two."""
    kept = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_TRACKING_URI", "VAD_HOME")}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def _scores(tracking: Tracking, folder: Path) -> bytes:
    path = tracking.fetch(tracking.find("experiment")[0].run_id, "scores.csv", Path(tempfile.mkdtemp(dir=folder)))
    assert path is not None
    return path.read_bytes()


def _rows(database: str) -> str:
    import psycopg2

    with (
        contextlib.closing(psycopg2.connect(database.replace("+psycopg2", ""))) as connection,
        connection.cursor() as cursor,
    ):
        found = []
        for table in ("runs", "metrics", "params", "tags", "model_versions"):
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  # the names are those above
            found.append(f"{cursor.fetchone()[0]} {table}")
    return ", ".join(found)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def _wait_for(condition: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("it did not happen in time")
        time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
