"""The bodies of requests, as /docs shows them, and of answers."""

import asyncio
import base64
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import to_json


def refuse_numbers(texts: Any) -> Any:
    if isinstance(texts, list) and texts and isinstance(texts[0], int | list):
        raise ValueError("numbers of tokens are not understood; send texts")
    return texts


Texts = Annotated[
    str | Annotated[list[str], Field(min_length=1, fail_fast=True)], BeforeValidator(refuse_numbers)
]
Format = Literal["float", "base64"]
Name = Literal["ents", "cats", "sents", "tokens"]


class DocsRequest(BaseModel):
    """Texts, and what is wanted of each."""

    input: Texts
    fields: Annotated[list[Name], Field(fail_fast=True)] = ["ents", "cats"]


class TokensRequest(BaseModel):
    """base64: of 32-bit numbers, little-endian, a row for each token."""

    input: Texts
    encoding_format: Format | None = None


class EmbeddingsRequest(TokensRequest):
    """As OpenAI has it. There is one model, whatever its name here."""

    model: str | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None


class EmbedRequest(BaseModel):
    """As text-embeddings-inference has it."""

    inputs: Texts
    normalize: bool = True


class Error(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    error: Error


async def join(rows: Iterable[Any]) -> bytes:
    """A list in JSON. Between its items other requests have their turn."""
    parts: list[bytes] = []
    for row in rows:
        parts.append(to_json(row))
        await asyncio.sleep(0)
    return b"[%s]" % b",".join(parts)


def answer_json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def encode(vectors: Any, encoding_format: str) -> Any:
    if encoding_format == "float":
        return vectors.tolist()
    return base64.b64encode(vectors.astype("<f4").tobytes()).decode("ascii")
