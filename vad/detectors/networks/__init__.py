"""Networks, each in its own file, registered under the name that entries use.

A network is built with the shape of its samples and its own options. To add one: write a file with
an `nn.Module` below `@NETWORKS.register("name")` whose options are keyword-only and whose `takes` is
the kind of sample that it takes, and import it here.
"""

from vad.detectors.networks import conv3d_ae, conv_ae, convlstm, fully_conv_ae, unet_ae  # noqa: F401
from vad.detectors.networks.base import INITS, NETWORKS, build, fold_batch_norm, parameter_count, place
from vad.detectors.networks.reconstruction_errors import ERRORS

__all__ = ["ERRORS", "INITS", "NETWORKS", "build", "fold_batch_norm", "parameter_count", "place"]
