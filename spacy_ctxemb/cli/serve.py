"""`python -m spacy ctxemb serve`"""

from pathlib import Path

import typer

from ..serving.settings import Settings, read_keys

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
    api_keys: str = typer.Option(
        "", envvar="CTXEMB_API_KEYS", help="API keys with commas between; better in the variable"
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

    from ..serving import build_app, run_server
    from .use_gpu import use_gpu

    keys = [key.strip() for key in api_keys.split(",") if key.strip()]
    settings = Settings(
        name=Path(pipeline).name,
        batch_tokens=batch_tokens,
        batch_wait_ms=batch_wait_ms,
        queue_size=queue_size,
        max_texts=max_texts,
        max_bytes=max_bytes,
        timeout=timeout,
        api_keys=(*keys, *(read_keys(api_key_file) if api_key_file else ())),
        origins=tuple(origin),
    )
    use_gpu(gpu_id, silent=True)
    if threads:
        torch.set_num_threads(threads)
    run_server(build_app(spacy.load(pipeline), settings), host, port, drain=drain)
