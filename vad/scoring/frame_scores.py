"""A trained network to frame scores: reconstruction errors, reduced to one number a frame where they are computed."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vad.catalog import Named
from vad.data.frame_index import Values
from vad.detectors.networks import fold_batch_norm, place
from vad.errors import InputError
from vad.inputs import Samples, fold_frames
from vad.scoring.reconstruction_errors import ERRORS
from vad.system.memory import keep_freed_memory
from vad.system.precision import Wish, autocast, for_scoring
from vad.system.threads import limit

# What a pass holds: so many pixels of what is scored, so many samples at most. Another number gives other last bits in bf16.
_PIXELS, MOST_SAMPLES = 2**21, 64


def score(
    network: nn.Module,
    samples: Samples,
    errors: Sequence[Named],
    count: int,
    trained: Wish,
    device: torch.device,
    on_batch: Callable[[int], None] | None = None,
    *,
    folded: bool = False,
) -> dict[Named, Values]:
    """Each error of each of `count` frames, float64 of shape (count,). Only these numbers leave the device.

    A frame that several samples hold gets the largest of its errors, one that none holds gets NaN. `trained` is the
    precision of the training. `folded`: the network is what `fold_batch_norm` makes, which takes as long as a few frames.
    """
    keep_freed_memory()
    limit()
    precision = for_scoring(trained, device)
    if not folded:
        network = fold_batch_norm(network)
    place(network, device)
    samples.settle()
    chunk = _chunk(samples)
    results = {error: np.full(count, np.nan) for error in errors}
    with torch.inference_mode():
        for start in range(0, len(samples), chunk):
            held = min(chunk, len(samples) - start)
            which = np.minimum(np.arange(start, start + chunk), start + held - 1)
            batch = samples.batch(which)
            with autocast(precision, device):
                output = network(batch.given)
            output, target = fold_frames(output.float()), fold_frames(batch.target)
            frames = samples.scored[which[:held]].ravel()
            for error, values in results.items():
                found = ERRORS.make(error, output, target)[: len(frames)].double().cpu().numpy()
                if not np.isfinite(found).all():
                    culprit = (
                        f"the {error.name} error of test frame {frames[np.argmin(np.isfinite(found))] + 1} of {count}"
                    )
                    raise InputError(f"{culprit} is not finite; train.precision=fp32 may help")
                np.fmax.at(values, frames, found)
            if on_batch:
                on_batch(held)
    return results


def _chunk(samples: Samples) -> int:
    """How many samples every pass has, even the last: kernels differ between shapes, and in bf16 their rounding shows."""
    if not len(samples):
        return 1
    target = samples.batch(np.zeros(1, np.intp)).target
    return max(1, min(MOST_SAMPLES, _PIXELS // (target.numel() // target.shape[1])))


def error_maps(
    network: nn.Module, samples: Samples, trained: Wish, device: torch.device
) -> Callable[[int], tuple[Tensor, Tensor, Tensor] | None]:
    """For pictures, a function of a frame: what the network was to make of it, what it made, and the error.

    The first two are uint8 of shape (H, W, 3); the error, (H, W), is squared and averaged over channels. Of the samples
    that hold the frame the middle one is taken; None where there is none. Several threads may call it.
    """
    place(network, device)  # here, as weights that are moved while another thread reads them give any output
    network.eval()
    precision = for_scoring(trained, device)

    def of(frame: int) -> tuple[Tensor, Tensor, Tensor] | None:
        holding = np.argwhere(samples.scored == frame)
        if not len(holding):
            return None
        sample, offset = holding[len(holding) // 2]
        batch = samples.batch(np.asarray([sample]))
        with torch.inference_mode(), autocast(precision, device):
            output = network(batch.given)
        made, target = (fold_frames(values)[[offset]].cpu() for values in (output.float(), batch.target))
        return samples.picture(target)[0], samples.picture(made)[0], (made - target).square().mean(1)[0]

    return of
