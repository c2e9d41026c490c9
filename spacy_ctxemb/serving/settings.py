"""What a service allows, and how it batches."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import Errors
from ..read_files import read_lines


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
    max_texts: int = 1024
    max_bytes: int = 2_000_000
    timeout: float = 30.0
    api_keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "max_texts", "max_bytes", "timeout"):
            self.check(name, "more than 0", getattr(self, name) > 0)
        self.check("batch_wait_ms", "0 or more", self.batch_wait_ms >= 0)
        is_enough = self.queue_size >= self.max_texts
        self.check("queue_size", f"max_texts, {self.max_texts}, or more", is_enough)
        self.check("api_keys", "keys that are not empty", all(self.api_keys))

    def check(self, name: str, expected: str, is_so: bool) -> None:
        if not is_so:
            value = "hidden" if name == "api_keys" else getattr(self, name)
            raise ValueError(Errors.E801.format(name=name, value=value, expected=expected))


def read_keys(path: Path) -> tuple[str, ...]:
    """The API keys of a file, one a line. Raises E802 where it has none."""
    keys = tuple(read_lines(path))
    if not keys:
        raise ValueError(Errors.E802.format(path=path))
    return keys
