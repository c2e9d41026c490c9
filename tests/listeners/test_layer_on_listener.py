"""A layer of the task on what a listener hears, as docs/frozen.md has it."""

from pathlib import Path

import numpy as np
import pytest
import spacy
from thinc.api import Adam, Config

from ..docs.excerpts import complete
from ..docs.pages import read_excerpt
from ..pipelines import BILM, NER_DATA, WIDTH, examples, initialised, ner_config, vectors


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("kind", ["spacy.Tok2VecListener.v1", "spacy-ctxemb.LayerMixListener.v1"])
def test_a_layer_on_a_listener_learns(kind: str, is_frozen: bool, tmp_path: Path) -> None:
    excerpt = complete(read_excerpt("a layer on frozen vectors"))
    config = Config().from_str(excerpt, interpolate=False)
    tok2vec = config["components"]["ner"]["model"]["tok2vec"]
    tok2vec["encode"]["width"] = tok2vec["embed"]["width"] = WIDTH
    tok2vec["embed"]["@architectures"] = kind
    if kind.startswith("spacy."):
        del tok2vec["embed"]["layer_norm"]
    nlp = initialised(BILM)
    nlp.add_pipe("ner", config=ner_config(tok2vec))
    data = [*NER_DATA, ("", {"entities": []})]
    nlp.get_pipe("ner").initialize(lambda: examples(nlp, data), nlp=nlp)
    before = vectors(nlp)[0]
    frozen = ["ctxemb"] if is_frozen else []
    optimizer = Adam(0.01)
    for _ in range(60):
        nlp.update(examples(nlp, data), sgd=optimizer, exclude=frozen, annotates=frozen)
    assert np.array_equal(before, vectors(nlp)[0]) == is_frozen
    assert nlp.evaluate(examples(nlp, NER_DATA))["ents_f"] == 1.0
    assert [len(doc) for doc in nlp.pipe(["", "\n", ""])] == [0, 1, 0]
    nlp.replace_listeners("ctxemb", "ner", ["model.tok2vec.embed"])
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).evaluate(examples(nlp, NER_DATA))["ents_f"] == 1.0
