"""What each path answers."""

import asyncio
import base64
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic_core import to_json
from spacy.language import Language
from starlette.types import Receive

from ..bulk.encode import find_width, identify
from ..bulk.needed_components import list_unneeded
from ..errors import Errors
from ..read_files import coding_errors
from . import bodies
from .batcher import Batcher, QueueFull
from .metrics import Metrics
from .read_docs import Found, Reading, find_all, read_fields, read_token_vectors, read_vector
from .refusals import Refusal
from .settings import Settings

#: Bytes of a token, about, in any language.
BYTES_A_TOKEN = 4

#: What is computed before the first request.
WARM_UP = "The otters slept on the bank."


class Service:
    """Answers requests. is_draining: whether it will end soon."""

    def __init__(self, nlp: Language, settings: Settings) -> None:
        self.nlp, self.settings = nlp, settings
        self.is_draining = False
        self.width, self.no_vectors = measure(nlp)
        self.disable = tuple(list_unneeded(nlp, {"doc.tensor"}))
        with coding_errors(Errors.E803, text=WARM_UP), nlp.memory_zone():
            nlp(WARM_UP)
        self.metrics = Metrics(lambda: len(self.batcher.queue))
        self.batcher = Batcher(partial(find_all, nlp), settings, self.metrics.note_batch)

    @asynccontextmanager
    async def live(self, app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(self.batcher.close)

    async def docs(self, body: bodies.DocsRequest, request: Request) -> Response:
        """Entities, categories, sentences, spans and tokens of texts."""
        found = await self.find(request, body.input, read_fields(self.nlp, body.fields))
        return self.answer(found, {"docs": [one.value for one in found]})

    async def embeddings(self, body: bodies.EmbeddingsRequest, request: Request) -> Response:
        """A vector of each text."""
        if body.dimensions not in (None, self.width):
            raise Refusal(422, Errors.E818.format(n=body.dimensions, width=self.width))
        data = []
        found = await self.find_vectors(request, body.input, read_vector)
        for i, one in enumerate(found):
            vector = encode(one.value, body.encoding_format)
            data.append({"object": "embedding", "index": i, "embedding": vector})
        return self.answer(found, {"object": "list", "data": data})

    async def tokens(self, body: bodies.TokensRequest, request: Request) -> Response:
        """A vector of each token of each text, and where the token stands."""
        data = []
        found = await self.find_vectors(request, body.input, read_token_vectors)
        for i, (tokens, vectors) in enumerate(one.value for one in found):
            places = [{"text": x.text, "start": x.start, "end": x.end} for x in tokens]
            vectors = encode(vectors, body.encoding_format)
            data.append({"index": i, "tokens": places, "embeddings": vectors})
        return self.answer(found, {"data": data})

    async def embed(self, body: bodies.EmbedRequest, request: Request) -> Response:
        """A vector of each text, in the form of text-embeddings-inference."""
        found = await self.find_vectors(request, body.inputs, read_vector)
        rows = np.stack([one.value for one in found])
        if body.normalize:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return Response(to_json(rows.tolist()), media_type="application/json")

    async def models(self) -> dict[str, Any]:
        """The one model."""
        one = {"id": self.settings.name, "object": "model", "created": 0, "owned_by": "spacy"}
        return {"object": "list", "data": [one]}

    async def health(self) -> dict[str, str]:
        """Whether the model can still answer; if not, begin anew."""
        if not self.batcher.thread.is_alive():
            raise Refusal(503, Errors.E821.format(reason="the thread of the model has ended"))
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """Whether to send requests here."""
        if self.is_draining:
            raise Refusal(503, Errors.E821.format(reason="it is about to end"))
        return await self.health()

    async def show_metrics(self) -> Response:
        """For Prometheus."""
        text = generate_latest(self.metrics.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def find_vectors(
        self, request: Request, texts: bodies.Texts, read: Callable[..., Any]
    ) -> list[Found]:
        if self.no_vectors:
            raise Refusal(422, self.no_vectors)
        return await self.find(
            request, texts, Reading(self.disable, partial(read, width=self.width))
        )

    async def find(self, request: Request, texts: bodies.Texts, reading: Reading) -> list[Found]:
        """What is wanted of each text, once the model has had its turn. Raises Refusal."""
        texts = [texts] if isinstance(texts, str) else texts
        if len(texts) > self.settings.max_texts:
            message = Errors.E812.format(n=len(texts), limit=self.settings.max_texts)
            raise Refusal(422, message)
        try:
            for _ in identify(self.nlp, texts, 0):
                pass
        except ValueError as error:
            raise Refusal(422, str(error)) from error
        sizes = [len(text.encode("utf8")) // BYTES_A_TOKEN + 1 for text in texts]
        asked = [((text, reading), n) for text, n in zip(texts, sizes, strict=True)]
        found = await self.wait(asked, request.receive)
        for one in found:
            if isinstance(one.value, Refusal):
                raise one.value
        n_tokens = sum(one.n_tokens for one in found)
        self.metrics.words.inc(n_tokens)
        request.scope["ctxemb"].update(texts=len(texts), tokens=n_tokens)
        return found

    async def wait(self, asked: Sequence[tuple[Any, int]], receive: Receive) -> list[Found]:
        """Raises 503 E810 if there is no room, 504 E813 at the end of the time, 499 E822 if the
        client has gone; then the model does not compute what it has not begun."""
        limit, timeout = self.settings.queue_size, self.settings.timeout
        try:
            job = self.batcher.submit(asked)
        except QueueFull as full:
            message = Errors.E810.format(n=full.n_waiting, limit=limit)
            headers = {"Retry-After": str(max(1, math.ceil(full.seconds)))}
            raise Refusal(503, message, headers) from full
        gone = asyncio.ensure_future(wait_until_gone(receive))
        awaited: set[asyncio.Future[Any]] = {job.future, gone}
        try:
            await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if job.future.done():
                return job.future.result()
            if gone.done():
                raise Refusal(499, Errors.E822)
            raise Refusal(504, Errors.E813.format(seconds=timeout))
        finally:
            gone.cancel()
            if not job.future.done():
                self.batcher.drop(job)

    def answer(self, found: Sequence[Found], content: dict[str, Any]) -> Response:
        n = sum(one.n_tokens for one in found)
        usage = {"prompt_tokens": n, "total_tokens": n}
        body = {**content, "model": self.settings.name, "usage": usage}
        return Response(to_json(body), media_type="application/json")


def measure(nlp: Language) -> tuple[int, str]:
    """The width of vectors; 0 and why where there are none. Raises E704 and E725."""
    try:
        return find_width(nlp), ""
    except ValueError as error:
        if not str(error).startswith("[E700]"):
            raise
        return 0, str(error)


def encode(vectors: Any, encoding_format: str) -> Any:
    if encoding_format == "float":
        return vectors.tolist()
    return base64.b64encode(vectors.astype("<f4").tobytes()).decode("ascii")


async def wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
