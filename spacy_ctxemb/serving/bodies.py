"""The bodies of requests and answers, as /docs shows them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Texts = str | Annotated[list[str], Field(min_length=1)]
Format = Literal["float", "base64"]
Name = Literal["ents", "cats", "sents", "spans", "tokens"]


class DocsRequest(BaseModel):
    """Texts, and what is wanted of each."""

    input: Texts
    fields: list[Name] = ["ents", "cats"]


class TokensRequest(BaseModel):
    """base64: of 32-bit numbers, little-endian, a row for each token."""

    input: Texts
    encoding_format: Format = "float"


class EmbeddingsRequest(TokensRequest):
    """As OpenAI has it. There is one model, whatever its name here."""

    model: str = ""
    dimensions: Annotated[int, Field(ge=1)] | None = None


class EmbedRequest(BaseModel):
    """As text-embeddings-inference has it."""

    inputs: Texts
    normalize: bool = True


class Usage(BaseModel):
    """Tokens of spaCy."""

    prompt_tokens: int
    total_tokens: int


class Answer(BaseModel):
    model: str
    usage: Usage


class DocsAnswer(Answer):
    """One dictionary of the fields for each text."""

    docs: list[dict[str, Any]]


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(Answer):
    object: Literal["list"]
    data: list[Embedding]


class Token(BaseModel):
    """start, end: its characters in the text, by Unicode's code points."""

    text: str
    start: int
    end: int


class TokenVectors(BaseModel):
    index: int
    tokens: list[Token]
    embeddings: list[list[float]] | str


class TokensAnswer(Answer):
    data: list[TokenVectors]


class Error(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    error: Error
