"""A run on a Ray cluster that loses a node, tracked by an MLflow server over PostgreSQL; beside the same run at home.

    .venv/bin/python -m benchmarks.ray_cluster

Everything is on this machine and thrown away afterwards: the server of `tracking_server.py` and a Ray cluster of two nodes
(`pip install -e '.[ray]'`), both on loopback. When each node has trained an epoch, one is killed. Prints what the run
said, what the server holds, and whether the scores are those of the local engine, bit for bit.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback; Ray reads it when it is imported

from benchmarks.tracking_server import missing, mlflow_server, postgresql, wait_for
from registry.store.tracking import Found, Tracking

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
    if reason := missing():
        sys.exit(reason)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vad-ray-")))
        (folder / "trio.yaml").write_text(ENTRY)
        print("at home: the local engine, runs in SQLite", flush=True)
        subprocess.run(VAD, cwd=folder, env=_environment(), check=True)
        at_home = _scores(Tracking(f"sqlite:///{folder / 'mlflow.db'}"), folder)

        database = stack.enter_context(postgresql())
        server = stack.enter_context(mlflow_server(database, folder / "artifacts")).address
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


def lose_a_node(server: str, folder: Path) -> None:
    """Run the entry on two nodes and kill one of them when two members have finished an epoch each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    cluster.add_node(num_cpus=1, include_dashboard=False)
    second = cluster.add_node(num_cpus=1)
    given = _environment(RAY_ADDRESS=cluster.address, MLFLOW_TRACKING_URI=server)
    try:
        running = subprocess.Popen([*VAD, "--engine", "ray"], cwd=folder, env=given)
        wait_for(lambda: running.poll() is not None or len(_begun(server)) == 2)
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


if __name__ == "__main__":
    main()
