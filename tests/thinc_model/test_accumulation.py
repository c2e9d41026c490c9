"""Updates from the gradients of several batches, as training.accumulate_gradient makes them.

With textcat, whose gradients add up; those of spaCy's parser and NER depend on the batch.
"""

from typing import Any

import numpy as np
import pytest
import torch
from spacy.language import Language
from thinc.api import SGD, fix_random_seed
from torch import Tensor

from spacy_ctxemb.embedder.training_precision import LossScale
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import (
    MODELS,
    TEXTCAT_DATA,
    WIDTH,
    blank,
    examples,
    listener,
    parameters,
    textcat_config,
)

LISTENERS = {
    "vectors": listener(),
    "layers": {
        "@architectures": "spacy-ctxemb.LayerMixListener.v1",
        "width": WIDTH,
        "upstream": "ctxemb",
    },
}


def build(kind: str, tok2vec: dict[str, Any], **settings: Any) -> Language:
    """An encoder and a textcat without zeros, so that no gradient is zero."""
    nlp = blank({**MODELS[kind], **settings})
    textcat = nlp.add_pipe("textcat", config=textcat_config(tok2vec))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp, TEXTCAT_DATA))
    rng = np.random.default_rng(0)
    for node in textcat.model.walk():
        for name in node.param_names:
            if node.has_param(name):
                value = node.get_param(name)
                node.set_param(name, value + rng.normal(size=value.shape).astype("f"))
    return nlp


def accumulate(nlp: Language, k: int) -> dict[str, Tensor]:
    """By how much one update from k batches changes the encoder; as spaCy's training loop."""
    before = parameters(nlp)
    egs = examples(nlp, TEXTCAT_DATA)
    size = len(egs) // k
    for start in range(0, len(egs), size):
        nlp.update(egs[start : start + size], sgd=False, drop=0.0)
    optimizer = SGD(1.0, grad_clip=0.0, L2=0.0)
    for _, pipe in nlp.pipeline:
        pipe.finish_update(optimizer)
    return {name: value - before[name] for name, value in parameters(nlp).items()}


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("name", LISTENERS)
@pytest.mark.parametrize("kind", MODELS)
def test_several_batches_are_one(kind: str, name: str, k: int) -> None:
    expected = accumulate(build(kind, LISTENERS[name]), 1)
    found = accumulate(build(kind, LISTENERS[name]), k)
    unused = {"mix.weights", "mix.gamma"} if name == "layers" else set()
    for parameter, step in expected.items():
        assert step.any() == (parameter not in unused)
        torch.testing.assert_close(found[parameter], step, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("kind", MODELS)
def test_a_scale_of_the_loss_changes_nothing(kind: str, k: int) -> None:
    """Nor is the gradient of any batch lost."""
    expected = accumulate(build(kind, listener()), 1)
    nlp = build(kind, listener())
    shim = get_shim(nlp.get_pipe("ctxemb").model)
    shim.loss_scale = LossScale(2.0**14, interval=1)
    torch.testing.assert_close(accumulate(nlp, k), expected, rtol=1e-5, atol=1e-6)
    assert shim.loss_scale.value == 2.0**15


@pytest.mark.parametrize("kind", MODELS)
def test_bf16_is_near(kind: str) -> None:
    exact, *rounded = (
        accumulate(build(kind, listener(), training_precision=precision), k)
        for precision, k in (("fp32", 1), ("bf16", 1), ("bf16", 4))
    )
    for name, step in exact.items():
        for found in rounded:
            assert found[name].dtype == torch.float32
            assert (found[name] - step).norm() < 0.08 * step.norm(), name
    assert any(not torch.equal(rounded[0][name], exact[name]) for name in exact)
