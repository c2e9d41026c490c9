"""The bodies of requests and answers, as /docs shows them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field


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
