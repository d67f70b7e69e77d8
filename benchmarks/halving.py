"""When the gradient of a weight is faster as a matrix product than by PyTorch's kernel: what `vad/models/halving.py` decides by.

    .venv/bin/python -m benchmarks.halving

One row for each side of the small map in conv_ae at 64 px (batch 16): milliseconds of both in turn, their ratio, and how far each
is from the result in float64, as a share of its norm. In every precision that the processor computes in.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import ceilings
from vad.detectors.networks.halving import product_gradient, pytorch_gradient
from vad.system.precision import computes_in_bf16

BATCH, ROUNDS, SECONDS = 16, 7, 0.05
# Side of the small map, channels of the large and of the small one.
SHAPES = ((1, 512, 512), (2, 256, 512), (4, 128, 256), (8, 64, 128), (16, 32, 64))


def main() -> None:
    print(ceilings.machine(), f"{torch.get_num_threads()} threads\n")
    print("| precision | side | product, ms | PyTorch, ms | ratio (lowest to highest) | error | PyTorch's |")
    print("|---|---|---|---|---|---|---|")
    for dtype in [torch.float32, *([torch.bfloat16] if computes_in_bf16(torch.device("cpu")) else [])]:
        for side, wide, narrow in SHAPES:
            print(_row(dtype, side, wide, narrow), flush=True)


def _row(dtype: torch.dtype, side: int, wide: int, narrow: int) -> str:
    torch.manual_seed(1)
    shapes = (BATCH, wide, 2 * side, 2 * side), (BATCH, narrow, side, side), (narrow, wide, 4, 4)
    given = [torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last) for shape in shapes]
    exact = pytorch_gradient(*(values.double() for values in given))
    ways = product_gradient, pytorch_gradient
    errors = [float((way(*given).double() - exact).norm() / exact.norm()) for way in ways]
    times = [[_milliseconds(way, given) for way in ways] for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = sorted(b / a for a, b in times)
    name = str(dtype).removeprefix("torch.")
    spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return f"| {name} | {side} | {ours:.2f} | {theirs:.2f} | {spread} | {errors[0]:.1e} | {errors[1]:.1e} |"


def _milliseconds(way: Callable[..., Tensor], given: list[Tensor]) -> float:
    times = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        way(*given)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
