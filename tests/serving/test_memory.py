"""A service runs for months: nothing that it has answered stays."""

import gc
from pathlib import Path

import pytest
from spacy.tokens import Doc

from spacy_ctxemb.serving.read_docs import find_all, read_fields

from .running import build_hooked, running


def test_the_vocabulary_does_not_grow() -> None:
    with running(build_hooked()) as server:
        nlp = server.service.nlp
        before = len(nlp.vocab.strings), len([*nlp.vocab])
        for i in range(8):
            texts = [f"wörd{i}x{k} and fail{i}" if k == 3 else f"wörd{i}x{k}" for k in range(5)]
            server.embed(*texts)
            server.post("/v1/docs", {"input": texts, "fields": ["tokens", "sents"]})
        assert (len(nlp.vocab.strings), len([*nlp.vocab])) == before


def test_no_doc_is_left() -> None:
    """After the end of a memory zone it would point at memory that was freed."""
    nlp = build_hooked()
    reading = read_fields(nlp, ["ents", "tokens", "sents"])
    find_all(nlp, [(text, reading) for text in ("one", "fail", "two. Three.", "")])
    gc.collect()  # spaCy's Docs and Tokens hold each other
    assert not [x for x in gc.get_objects() if type(x) is Doc and x.vocab is nlp.vocab]


@pytest.mark.slow
def test_memory_stays_flat() -> None:
    with running(build_hooked()) as server:

        def ask(first: int) -> None:
            for i in range(first, first + 600):
                server.embed(*(f"unheard{i}x{k}" * 5 for k in range(50)))

        ask(0)
        before = read_memory()
        ask(1000), ask(2000)
        assert read_memory() - before < 20_000_000


def read_memory() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
