"""Networks, each in a file of its own, filed under the name that entries use.

A network is built with the shape of its samples and its own options. To add one: write a file with
an `nn.Module` below `@NETWORKS.register("name")` whose options are keyword-only and whose `takes` is
the kind of sample that it takes, and import it here.
"""

from vad.models.base import NETWORKS, Kind, Shape, build, parameter_count, place
from vad.models.conv3d_ae import Conv3dAutoencoder
from vad.models.conv_ae import ConvAutoencoder
from vad.models.convlstm import ConvLSTM
from vad.models.folding import fold_batch_norm
from vad.models.fully_conv_ae import FullyConvAutoencoder
from vad.models.init import INITS
from vad.models.unet_ae import UNetAutoencoder

__all__ = [
    "INITS",
    "NETWORKS",
    "Conv3dAutoencoder",
    "ConvAutoencoder",
    "ConvLSTM",
    "FullyConvAutoencoder",
    "Kind",
    "Shape",
    "UNetAutoencoder",
    "build",
    "fold_batch_norm",
    "parameter_count",
    "place",
]
