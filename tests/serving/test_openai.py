"""OpenAI's own client against a service."""

from collections.abc import Iterator

import numpy as np
import pytest

from ..search.index_of_few import build_pipeline
from .running import Running, running

openai = pytest.importorskip("openai", reason="openai is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(build_pipeline(), api_keys=("right",), name="tiny") as server:
        yield server


def connect(server: Running, key: str = "right") -> "openai.OpenAI":
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=key, max_retries=0)


@pytest.mark.parametrize("settings", [{}, {"encoding_format": "float"}, {"dimensions": 16}])
def test_embeddings(server: Running, settings: dict[str, str]) -> None:
    """By default the client asks for base64."""
    nlp, texts = build_pipeline(), ["Otters slept.", "They were wet by the river."]
    with connect(server) as client:
        found = client.embeddings.create(input=texts, model="tiny", **settings)
        assert client.models.list().data[0].id == "tiny"
    rows = [one.embedding for one in found.data]
    np.testing.assert_allclose(rows, [nlp(text).vector for text in texts], atol=1e-5)
    assert found.usage.total_tokens == sum(len(nlp(text)) for text in texts)


def test_errors(server: Running) -> None:
    with connect(server, "wrong") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.embeddings.create(input="a", model="tiny")
        assert refused.value.code == "E814"
    with connect(server) as client:
        with pytest.raises(openai.UnprocessableEntityError, match="E818") as refused:
            client.embeddings.create(input="a", model="tiny", dimensions=3)
        assert refused.value.type == "invalid_request_error"
