"""What a service allows, and how it batches."""

import math
from dataclasses import dataclass, field

from ..errors import Errors


@dataclass(frozen=True)
class Settings:
    """Limits of a service. Raises E801 for values that cannot be.

    name: of the model, in answers. batch_tokens: about as many tokens go through the model
        together; a single longer text goes by itself.
    batch_wait_ms: milliseconds that a batch waits for more texts while the model is idle.
    queue_size: texts that may wait, and requests that may be open; more are refused with 503.
    max_texts: of a request. max_bytes: of its body. timeout: seconds until it is given up.
    api_keys: one of which each request must have, if there are any.
    origins: whose pages in browsers may ask (CORS); "*" for all.
    """

    name: str = "spacy-ctxemb"
    batch_tokens: int = 1024
    batch_wait_ms: float = 2.0
    queue_size: int = 2048
    max_texts: int = 2048
    max_bytes: int = 2**19
    timeout: float = 30.0
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "max_texts", "max_bytes", "timeout"):
            self.check(name, "more than 0, and finite", 0 < getattr(self, name) < math.inf)
        self.check("batch_wait_ms", "0 or more, and finite", 0 <= self.batch_wait_ms < math.inf)
        self.check("name", "not empty", bool(self.name))
        is_enough = self.queue_size >= self.max_texts
        self.check("queue_size", f"max_texts, {self.max_texts}, or more", is_enough)
        for name in ("api_keys", "origins"):
            values = getattr(self, name)
            is_list = isinstance(values, list | tuple) and all(
                isinstance(one, str) and one == one.strip() != "" for one in values
            )
            self.check(name, "a list of texts without white space around them", is_list)

    def check(self, name: str, expected: str, is_so: bool) -> None:
        if not is_so:
            value = "hidden" if name == "api_keys" else getattr(self, name)
            raise ValueError(Errors.E801.format(name=name, value=value, expected=expected))
