"""What `encoder_loader` is. The loaders themselves import much more."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from ..encoders import Encoder
from ..pieces.base import Pieces
from ..remote.find_model import Found


class OriginalTensors(dict[str, Tensor]):
    """Tensors by their names. origins: of the files that they were read from."""

    def __init__(self, tensors: Mapping[str, Tensor], origins: Sequence[Found]) -> None:
        super().__init__(tensors)
        self.origins = origins


#: Reads weights for an encoder, by the names of its parameters, and checks that they fit.
#: What it returns may be OriginalTensors.
#: Arguments: the encoder; its pieces; the section of the config in which both stand.
EncoderLoader = Callable[[Encoder, Pieces, str], dict[str, Tensor]]
