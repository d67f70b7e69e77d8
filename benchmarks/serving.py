"""How fast a registered model answers: requests of 16 frames at 640 x 360, by one client and then by two.

    vad run phase5_multiscale                                                     # if nothing is registered yet
    python -m benchmarks.serving [--model production] [--seconds 20] [--json]     # in the folder of the store

It starts `vad serve` and ends it again. A client posts the same JPEG files of the demo street and waits for
the answer before it asks again.
"""

import argparse
import base64
import contextlib
import http.client
import importlib.metadata
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks import ceilings
from vad.synthetic.corruption import as_jpeg
from vad.synthetic.street_drawing import draw_scenery, paint, photograph
from vad.synthetic.street_scenes import training_clips

FRAMES = 16
WARM_UP = 3
_PACKAGES = ("mlflow", "torch", "numpy", "opencv-python-headless")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="production", help="alias, version number or models:/ URI [production]")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of clients [20]")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    body = request()
    with served(given.model) as (said, port):
        rows = [measure(port, body, clients, given.seconds) for clients in (1, 2)]
    about = ceilings.machine() | {name: importlib.metadata.version(name) for name in _PACKAGES}
    if given.json:
        print(json.dumps({"model": said, "bytes": len(body), "rows": rows, "machine": about}, indent=2))
        return
    print(f"{said}\n{FRAMES} frames a request, {len(body) / 1e6:.2f} MB of JSON\n")
    print("| clients | requests | requests/s | p50, ms | p99, ms | frames/s |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['clients']:.0f} | {row['requests']:.0f} | {row['requests/s']:.2f} | {row['p50']:.0f} "
            f"| {row['p99']:.0f} | {row['frames/s']:.0f} |"
        )
    print("\n" + "; ".join(f"{name}: {value}" for name, value in about.items()))


def request() -> bytes:
    """The JSON of one request: frames of the demo street as people walk by."""
    generator = np.random.default_rng(0)
    scenery = draw_scenery(generator)
    clip = training_clips(1, FRAMES, generator)[0]
    rows = []
    for number in clip.numbers:
        figures, things, seconds = clip.at(number)
        image = photograph(scenery, paint(scenery, figures, things)[0], seconds, generator)
        rows.append([clip.video, number, base64.b64encode(as_jpeg(image)).decode()])
    return json.dumps({"dataframe_split": {"columns": ["video", "frame", "image"], "data": rows}}).encode()


@contextlib.contextmanager
def served(model: str) -> Iterator[tuple[str, int]]:
    """`vad serve`, ended with the block: the line that it printed, and its port. Exits where there is no such model."""
    command = [sys.executable, "-m", "registry.cli", "serve", "--model", model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            process.wait()
            sys.exit("a registered model is needed, in the store of this folder: vad run phase5_multiscale makes one")
        try:
            yield line.partition(": ")[0], int(re.findall(r":(\d+)/", line)[0])
        finally:
            process.terminate()


def measure(port: int, body: bytes, clients: int, seconds: float) -> dict[str, float]:
    """So many clients, for so many seconds each after a few requests that warm up."""
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: _ask(port, body, WARM_UP), range(clients)))
        started = time.perf_counter()
        answered = list(pool.map(lambda _: _ask(port, body, None, started + seconds), range(clients)))
        took = time.perf_counter() - started
    waits = [wait * 1000 for waits in answered for wait in waits]
    p50, p99 = np.percentile(waits, [50, 99])
    rate = len(waits) / took
    return {
        "clients": clients,
        "requests": len(waits),
        "requests/s": rate,
        "p50": float(p50),
        "p99": float(p99),
        "frames/s": rate * FRAMES,
    }


def _ask(port: int, body: bytes, count: int | None, until: float = 0.0) -> list[float]:
    """Seconds of each of `count` requests, or of as many as begin before `until`, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    waits: list[float] = []
    while len(waits) < count if count is not None else time.perf_counter() < until:
        started = time.perf_counter()
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        waits.append(time.perf_counter() - started)
        if answer.status != 200:
            sys.exit(f"the server answered {answer.status}: {content.decode()}")
    connection.close()
    return waits


if __name__ == "__main__":
    main()
