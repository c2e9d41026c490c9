"""What `encoder_loader` is. The loaders themselves import much more."""

from collections.abc import Callable

from torch import Tensor

from ..encoders import Encoder
from ..pieces.base import Pieces

#: Reads weights for an encoder, by the names of its parameters, and checks that they fit.
#: Arguments: the encoder; its pieces; the section of the config in which both stand.
EncoderLoader = Callable[[Encoder, Pieces, str], dict[str, Tensor]]
