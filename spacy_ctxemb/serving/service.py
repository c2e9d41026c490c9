"""What each path answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
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
from .batcher import Batcher
from .metrics import Metrics
from .read_docs import Found, Reading, find_all, read_fields, read_token_vectors, read_vector
from .refusals import Refusal
from .settings import Settings

#: Numbers in an answer at most, by their form.
LARGEST = {"float": 2**21, "base64": 2**24}

#: What is computed before the first request.
WARM_UP = "The otters slept on the bank."


class Service:
    """Answers requests. is_draining: whether it will end soon."""

    def __init__(self, nlp: Language, settings: Settings) -> None:
        self.nlp, self.settings = nlp, settings
        self.is_draining = False
        self.width, self.no_vectors = measure(nlp)
        self.disable = tuple(list_unneeded(nlp, {"doc.tensor"}))
        self.metrics = Metrics(lambda: len(self.batcher.queue), settings.timeout)
        note = self.metrics.note_batch
        self.batcher = Batcher(partial(find_all, nlp), settings, note, self.warm_up)

    def warm_up(self) -> None:
        with coding_errors(Errors.E803, text=WARM_UP), self.nlp.memory_zone():
            self.nlp(WARM_UP)

    @asynccontextmanager
    async def live(self, app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(self.batcher.close)

    async def docs(self, body: bodies.DocsRequest, request: Request) -> Response:
        """Entities, categories, sentences and tokens of texts."""
        found = await self.find(request, body.input, read_fields(self.nlp, body.fields))
        return await self.answer(found, "docs", (one.value for one in found))

    async def embeddings(self, body: bodies.EmbeddingsRequest, request: Request) -> Response:
        """A vector of each text."""
        if body.dimensions not in (None, self.width):
            raise Refusal(422, Errors.E818.format(n=body.dimensions, width=self.width))
        form = body.encoding_format or "float"
        found = await self.find_vectors(request, body.input, read_vector, form)
        rows = (
            {"object": "embedding", "index": i, "embedding": bodies.encode(one.value, form)}
            for i, one in enumerate(found)
        )
        return await self.answer(found, "data", rows, object="list")

    async def tokens(self, body: bodies.TokensRequest, request: Request) -> Response:
        """A vector of each token of each text, and where the token stands."""
        form = body.encoding_format or "float"
        found = await self.find_vectors(request, body.input, read_token_vectors, form)
        rows = (
            {"index": i, "tokens": tokens, "embeddings": bodies.encode(vectors, form)}
            for i, (tokens, vectors) in enumerate(one.value for one in found)
        )
        return await self.answer(found, "data", rows)

    async def embed(self, body: bodies.EmbedRequest, request: Request) -> Response:
        """A vector of each text, in the form of text-embeddings-inference."""
        found = await self.find_vectors(request, body.inputs, read_vector, "float")
        rows = np.stack([one.value for one in found])
        if body.normalize:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return bodies.answer_json(await bodies.join(row.tolist() for row in rows))

    async def models(self) -> dict[str, Any]:
        """The one model."""
        one = {"id": self.settings.name, "object": "model", "created": 0, "owned_by": "spacy"}
        return {"object": "list", "data": [one]}

    async def health(self) -> dict[str, str]:
        """Whether the model can still answer; if not, begin anew."""
        if not self.batcher.is_well():
            raise Refusal(503, Errors.E821.format(reason="the model has stopped"))
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """Whether to send requests here."""
        if self.is_draining:
            raise Refusal(503, Errors.E821.format(reason="the server is about to end"))
        return await self.health()

    async def show_metrics(self) -> Response:
        """For Prometheus."""
        text = generate_latest(self.metrics.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def find_vectors(
        self, request: Request, texts: bodies.Texts, read: Callable[..., Any], form: str
    ) -> list[Found]:
        if self.no_vectors:
            raise Refusal(422, self.no_vectors)
        texts = [texts] if isinstance(texts, str) else texts
        n = sum(map(count_tokens, texts)) if read is read_token_vectors else len(texts)
        if n * self.width > LARGEST[form]:
            raise Refusal(413, Errors.E815.format(n=n * self.width, limit=LARGEST[form]))
        reading = Reading(self.disable, partial(read, width=self.width))
        return await self.find(request, texts, reading)

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
        if sum(map(len, texts)) > (limit := self.nlp.max_length):
            raise Refusal(413, Errors.E811.format(limit=limit, unit="characters"))
        asked = [((text, reading), count_tokens(text)) for text in texts]
        found = await self.wait(asked, request.receive)
        for one in found:
            if isinstance(one.value, Refusal):
                raise one.value
        n_tokens = sum(one.n_tokens for one in found)
        self.metrics.words.inc(n_tokens)
        request.scope["ctxemb"].update(texts=len(texts), tokens=n_tokens)
        return found

    async def wait(self, asked: Sequence[tuple[Any, int]], receive: Receive) -> list[Found]:
        """Raises 504 E813 at the end of the time, 499 if the client has gone. Then the model does
        not compute what it has not begun. See also `Batcher.check_room`."""
        timeout, job = self.settings.timeout, self.batcher.submit(asked)
        gone = asyncio.ensure_future(wait_until_gone(receive))
        awaited: set[asyncio.Future[Any]] = {job.future, gone}
        try:
            await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if job.future.done():
                return job.future.result()
            if gone.done():
                raise Refusal(499, Errors.E821.format(reason="the client has gone"))
            raise Refusal(504, Errors.E813.format(seconds=timeout))
        finally:
            gone.cancel()
            if not job.future.done():
                self.batcher.drop(job)

    async def answer(
        self, found: Sequence[Found], key: str, rows: Iterable[Any], **more: str
    ) -> Response:
        n = sum(one.n_tokens for one in found)
        usage = {"prompt_tokens": n, "total_tokens": n}
        rest = to_json({**more, "model": self.settings.name, "usage": usage})
        return bodies.answer_json(
            b'{"%s":%s,%s' % (key.encode(), await bodies.join(rows), rest[1:])
        )


def count_tokens(text: str) -> int:
    """About, in any language."""
    n_others = len(text) - sum(map(str.isalnum, text))
    return 1 + max(len(text.encode("utf8", "replace")) // 4, n_others)


def measure(nlp: Language) -> tuple[int, str]:
    """The width of vectors; 0 and why where there are none. Raises E725."""
    try:
        return find_width(nlp), ""
    except ValueError as error:
        if not str(error).startswith(("[E700]", "[E704]")):
            raise
        return 0, str(error)


async def wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
