"""Contextual vectors where users look for them: Token, Span and Doc."""

from .changed_tokens import drop as drop
from .changed_tokens import fit_tokens as fit_tokens
from .doc_tensor import check_tensor as check_tensor
from .doc_tensor import has_tensor as has_tensor
from .extensions import write as write
from .hooks import attach as attach
from .hooks import elmo_outputs as elmo_outputs
from .names import LAYERS as LAYERS
from .names import STATES as STATES
from .names import TENSOR as TENSOR
from .names import TOKENS_KEY as TOKENS_KEY
from .names import readers_key as readers_key
from .names import user_key as user_key
from .refit_values import count_tokens as count_tokens
from .user_data import get_value as get_value
