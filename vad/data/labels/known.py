"""Labels that are published, told apart where a set has two versions: a metric is of one of them."""

import numpy as np

from vad.data.frame_index import FrameIndex
from vad.data.frameset import Labels

# By the digest of the labels, in the order of videos and frames.
_KNOWN = {
    "eb278004866f0bca52fcaa357becaa1226584fbc12b9cdb2defb7712f835c584": "the published labels of UCSD Ped2",
    "4f9b584f36568c0818c5b95c23cd3e040b1ae8512701dc579899dbbf0c47cd10": "the competition's public labels",
}
# CUHK Avenue: the frames of its 21 test videos, and how many the authors' masks make anomalous.
_AVENUE = (1439, 1211, 923, 947, 1007, 1283, 605, 36, 1175, 841, 472, 1271, 549, 507, 1001, 740, 426, 294, 248, 273, 76)
_AVENUE_MASKS = 3_820
_CLIP = 18  # in which the intervals that many repositories copy differ from the masks


def version_of(labels: Labels, index: FrameIndex) -> str | None:
    """Return which of the published labels these are, in words; None for any others."""
    if known := _KNOWN.get(labels.digest):
        return known
    lengths = tuple(span.stop - span.start for span in index.spans)
    if lengths != _AVENUE:
        return None
    count = int(labels.values.sum())
    if count == _AVENUE_MASKS:
        return f"CUHK Avenue, the authors' masks ({_AVENUE_MASKS:,} anomalous frames)"
    clip = int(labels.values[index.spans[_CLIP - 1]].sum())
    here = f"here {count:,} frames are anomalous, {clip} of them in clip {_CLIP}"
    masks = f"the authors' masks have {_AVENUE_MASKS:,}, and the intervals that many repositories copy differ in clip {_CLIP}"
    return f"CUHK Avenue, but not the authors' masks: {here}; {masks}, so metrics on the two do not compare"


def extent(labels: Labels, index: FrameIndex, video: int) -> tuple[int, int, int] | None:
    """Return how many frames of a video, by its id, are anomalous, and the numbers of the first and the last; None for none."""
    span = slice(*np.searchsorted(index.video, [video, video + 1]))  # empty for a movie that cannot be read
    frames = index.frame[span][labels.values[span]]
    return (len(frames), int(frames[0]), int(frames[-1])) if len(frames) else None
