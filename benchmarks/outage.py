"""A tracking server that dies in the middle of a run and comes back: what continues meanwhile, and what is lost (nothing).

python -m benchmarks.outage [--seconds 60]

Trains a small network on a few frames twice, each time on a server of its own: undisturbed, and with an outage that begins
after the first epoch. It has five epochs for each second of the outage.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.at_once import paint, write_entry
from benchmarks.tracking_server import free_port, mlflow_server, wait_for


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="vad-outage-") as folder:
        root = Path(folder)
        epochs = max(6, round(5 * seconds))
        peace, _ = _run(root / "peace", epochs, None)
        scores, said = _run(root / "outage", epochs, seconds)
        print("\n".join(f"  {line}" for line in said))
        print(f"scores identical to those of the undisturbed run: {'yes' if peace == scores else 'NO'}")
        if peace != scores:
            sys.exit(1)


def _run(root: Path, epochs: int, outage: float | None) -> tuple[list[bytes], list[str]]:
    """The scores that a run left, and what is to be said of its outage."""
    root.mkdir()
    paint(root / "data")
    write_entry(root, "small", [1, 2])
    database, artifacts, port = f"sqlite:///{root}/server.db", root / "artifacts", free_port()
    given = {**os.environ, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "VAD_HOME": ".vad"}
    given["PYTHONPATH"] = str(Path(__file__).parents[1])
    resume, log, said = root / ".vad" / "resume", root / "log", []
    command = [sys.executable, "-m", "registry.cli", "run", "small", "--data", "data"]
    command += ["--set", f"train.epochs={epochs}"]
    with contextlib.ExitStack() as servers, log.open("w") as output:
        server = servers.enter_context(mlflow_server(database, artifacts, port))
        process = subprocess.Popen(command, cwd=root, env=given, stdout=output, stderr=output)
        ends: list[float] = []
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(resume, ends, over))
        watcher.start()
        if outage is not None:
            wait_for(lambda: bool(ends) or process.poll() is not None)
            server.kill()
            gone = time.monotonic()
            time.sleep(outage)
            servers.enter_context(mlflow_server(database, artifacts, port))
            back = time.monotonic()
            during = [moment for moment in ends if gone < moment < back]
            said.append(f"the server was gone for {back - gone:.0f} s")
            trained = during[-1] - gone if during else 0.0
            said.append(f"{trained:.0f} s of training went on meanwhile, {len(during)} epochs")
            wait_for(lambda: "answers again" in log.read_text() or process.poll() is not None)
            said.append(f"{time.monotonic() - back:.1f} s from its return to the first answer")
        process.wait()
        over.set()
        watcher.join()
    text = log.read_text()
    if process.returncode:
        sys.exit(text)
    said += [line.strip() for line in text.splitlines() if "does not answer" in line or "answers again" in line]
    return [path.read_bytes() for path in sorted(artifacts.rglob("scores.csv"))], said


def _watch(resume: Path, epochs: list[float], over: threading.Event) -> None:
    """Note when each epoch's state is put down."""
    seen: set[tuple[str, int]] = set()
    while not over.wait(0.05):
        for path in resume.glob("*.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                state = (path.name, path.stat().st_mtime_ns)
                if state not in seen:
                    seen.add(state)
                    epochs.append(time.monotonic())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long the server is gone [60]")
    main(parser.parse_args().seconds)
