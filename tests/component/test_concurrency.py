"""The component in several threads and processes."""

import multiprocessing
import threading

import numpy as np
import pytest
import torch

from ..pipelines import TEXTS, initialised, vectors, with_ner


def test_threads_predict_at_the_same_time(model):
    nlp = initialised(model)
    expected = vectors(nlp)
    wrong = []

    def work():
        for _ in range(10):
            docs = [nlp.get_pipe("ctxemb")(nlp.make_doc(text)) for text in TEXTS]
            pairs = zip(docs, expected, strict=True)
            wrong.extend(1 for doc, e in pairs if not np.allclose(doc.tensor, e, atol=1e-5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_several_processes(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    nlp = with_ner(keep="layers")
    # PyTorch's threads are running before the fork: without care the child would hang.
    torch.set_num_threads(2)
    torch.ones(512, 512) @ torch.ones(512, 512)
    expected = list(nlp.pipe(TEXTS))
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=2))
    finally:
        multiprocessing.set_start_method(before, force=True)
    for doc, reference in zip(docs, expected, strict=True):
        np.testing.assert_allclose(doc.tensor, reference.tensor, atol=1e-5)
        np.testing.assert_allclose(doc._.ctxemb, reference._.ctxemb, atol=1e-5)
        assert doc.ents == () or doc.ents[0].label_ in ("PERSON", "LOC")
