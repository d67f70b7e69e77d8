"""Networks, each in a file of its own, filed under the name that entries use.

A network is built with `size` (pixels of the square input), `channels` (planes of the input) and
its own options. To add one: write a file with an `nn.Module` below `@NETWORKS.register("name")`
whose options are keyword-only, and import it here.
"""

from vad.models.base import NETWORKS, build, parameter_count
from vad.models.conv_ae import ConvAutoencoder

__all__ = ["NETWORKS", "ConvAutoencoder", "build", "parameter_count"]
