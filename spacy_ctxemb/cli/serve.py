"""`python -m spacy ctxemb serve`"""

import os
from pathlib import Path

import typer

from ..errors import Errors
from ..read_files import read_lines
from ..serving.settings import Settings

DEFAULT = Settings()


def serve(
    pipeline: str = typer.Argument(..., help="Directory or package of a pipeline"),
    host: str = typer.Option("127.0.0.1", help="Address to bind; 0.0.0.0 for all"),
    port: int = typer.Option(8000, min=0, max=65535, help="Port; 0 for any that is free"),
    batch_tokens: int = typer.Option(DEFAULT.batch_tokens, help="Tokens that are run together"),
    batch_wait_ms: float = typer.Option(
        DEFAULT.batch_wait_ms, help="Milliseconds that a text waits for others"
    ),
    queue_size: int = typer.Option(
        DEFAULT.queue_size, help="Texts that may wait, and requests that may be open"
    ),
    max_texts: int = typer.Option(DEFAULT.max_texts, help="Texts of a request"),
    max_bytes: int = typer.Option(DEFAULT.max_bytes, help="Bytes of a request"),
    timeout: float = typer.Option(DEFAULT.timeout, help="Seconds until a request is given up"),
    drain: float = typer.Option(
        2.0, min=0.0, help="Seconds from SIGTERM to the closing of the port"
    ),
    api_key_file: Path | None = typer.Option(None, help="File with API keys, one a line"),
    api_keys: str | None = typer.Option(
        None, help="API keys with commas between; better in the variable CTXEMB_API_KEYS"
    ),
    origin: list[str] = typer.Option([], help="Site whose pages may ask (CORS), or *; repeatable"),
    threads: int = typer.Option(0, min=0, help="Threads of PyTorch, 0 for its own choice"),
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
) -> None:
    """Answer requests by HTTP: entities, categories, vectors of texts and tokens.

    The page /docs of the server shows its paths.
    """
    import spacy
    import torch

    from ..serving import build_app, open_port, run_server
    from .use_gpu import use_gpu

    settings = Settings(
        name=Path(pipeline).resolve().name,
        batch_tokens=batch_tokens,
        batch_wait_ms=batch_wait_ms,
        queue_size=queue_size,
        max_texts=max_texts,
        max_bytes=max_bytes,
        timeout=timeout,
        api_keys=read_keys(api_keys, api_key_file),
        origins=tuple(origin),
    )
    open_port(host, port).close()  # one that is taken is noticed before the pipeline is loaded
    use_gpu(gpu_id, silent=True)
    if threads:
        torch.set_num_threads(threads)
    run_server(build_app(spacy.load(pipeline), settings), host, port, drain=drain)


def read_keys(given: str | None, path: Path | None) -> tuple[str, ...]:
    """API keys with commas between, by default those of the environment, and those of a file.

    Raises E802 where one of these is there and holds none.
    """
    given = os.environ.get("CTXEMB_API_KEYS") if given is None else given
    sources = {"CTXEMB_API_KEYS": None if given is None else given.split(",")}
    sources[str(path)] = read_lines(path) if path else None
    keys: list[str] = []
    for source, found in sources.items():
        if found is not None and not any(map(str.strip, found)):
            raise ValueError(Errors.E802.format(path=source))
        keys += [key.strip() for key in found or () if key.strip()]
    return tuple(keys)
