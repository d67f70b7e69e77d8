"""Networks, each in a file of its own, filed under the name that entries use.

A network is built with the shape of its samples and its own options. To add one: write a file with
an `nn.Module` below `@NETWORKS.register("name")` whose options are keyword-only and whose `takes` is
the kind of sample that it takes, and import it here.
"""

from vad.detectors.networks.base import NETWORKS, build, parameter_count, place
from vad.detectors.networks.conv3d_ae import Conv3dAutoencoder
from vad.detectors.networks.conv_ae import ConvAutoencoder
from vad.detectors.networks.convlstm import ConvLSTM
from vad.detectors.networks.folding import fold_batch_norm
from vad.detectors.networks.fully_conv_ae import FullyConvAutoencoder
from vad.detectors.networks.init import INITS
from vad.detectors.networks.unet_ae import UNetAutoencoder

__all__ = [
    "INITS",
    "NETWORKS",
    "Conv3dAutoencoder",
    "ConvAutoencoder",
    "ConvLSTM",
    "FullyConvAutoencoder",
    "UNetAutoencoder",
    "build",
    "fold_batch_norm",
    "parameter_count",
    "place",
]
