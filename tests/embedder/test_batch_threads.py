"""Batches side by side."""

import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from spacy_ctxemb.embedder import batch_threads
from spacy_ctxemb.embedder.batch_threads import count_batch_threads, map_batches
from spacy_ctxemb.encoders import Encoder
from spacy_ctxemb.encoders.huggingface_wrapper import HuggingFaceEncoder
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..pipelines import TRANSFORMER, initialised

N_THREADS = 2


@pytest.fixture
def two_threads() -> None:
    torch.set_num_threads(N_THREADS)


@pytest.mark.usefixtures("two_threads")
def test_results_are_in_order() -> None:
    first_may_end = threading.Event()

    def work(i: int) -> int:
        if i == 0:  # the others are done before it
            assert first_may_end.wait(timeout=60)
        elif i == 1:
            first_may_end.set()
        return i

    assert list(map_batches(work, range(7), N_THREADS)) == list(range(7))


@pytest.mark.usefixtures("two_threads")
def test_each_thread_computes_alone_and_without_gradients() -> None:
    both = threading.Barrier(N_THREADS)

    def look(_: int) -> tuple[int, bool, str]:
        both.wait(timeout=60)  # reached only if two are at work
        name = threading.current_thread().name
        return torch.get_num_threads(), torch.is_inference_mode_enabled(), name

    found = list(map_batches(look, range(4), N_THREADS))
    assert {(n, inference) for n, inference, _ in found} == {(1, True)}
    assert len({name for *_, name in found}) == N_THREADS
    assert torch.get_num_threads() == N_THREADS


@pytest.mark.usefixtures("two_threads")
def test_threads_that_begin_later_have_as_many_as_before() -> None:
    list(map_batches(torch.ones, [(1,)] * 4, N_THREADS))
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [N_THREADS]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("n_items", [0, 1])
def test_few_batches_are_computed_by_all_threads(n_items: int) -> None:
    def look(_: int) -> tuple[threading.Thread, int]:
        return threading.current_thread(), torch.get_num_threads()

    expected = [(threading.current_thread(), N_THREADS)] * n_items
    assert list(map_batches(look, range(n_items), N_THREADS)) == expected


@pytest.mark.usefixtures("two_threads")
def test_after_an_error_nothing_goes_on() -> None:
    seen: list[int] = []

    def work(i: int) -> int:
        seen.append(i)
        if i == 3:
            raise ValueError("Batch 3 is broken.")
        return i

    with pytest.raises(ValueError, match="Batch 3 is broken"):
        list(map_batches(work, range(100), N_THREADS))
    n_seen = len(seen)
    assert n_seen < 10
    assert list(map_batches(lambda i: i, range(4), N_THREADS)) == [0, 1, 2, 3]
    assert len(seen) == n_seen


@pytest.mark.usefixtures("two_threads")
@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
def test_a_forked_process_has_threads_of_its_own() -> None:
    list(map_batches(abs, range(4), N_THREADS))
    process = multiprocessing.get_context("fork").Process(target=map_in_child)
    process.start()
    process.join(timeout=60)
    code = process.exitcode
    process.kill()
    assert code == 0


def map_in_child() -> None:
    assert batch_threads.POOLS == {}
    torch.set_num_threads(N_THREADS)
    assert list(map_batches(abs, range(-4, 0), N_THREADS)) == [4, 3, 2, 1]


def test_at_most_some_batches_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert count_batch_threads() == batch_threads.MAX_BATCHES


def test_pools_of_another_number_of_threads_are_dropped() -> None:
    for n in (2, 3, 2):
        torch.set_num_threads(n)
        list(map_batches(abs, range(8), n))
        assert [*batch_threads.POOLS] == [(n, n)]


@pytest.mark.parametrize(("n_threads", "shares"), [(2, [2, 3]), (4, [1, 1, 1, 2]), (2, [2, 3])])
def test_calls_share_all_threads(n_threads: int, shares: list[int]) -> None:
    torch.set_num_threads(5)
    all_at_work = threading.Barrier(n_threads)

    def look(_: int) -> int:
        all_at_work.wait(timeout=60)
        return torch.get_num_threads()

    assert sorted(map_batches(look, range(n_threads), n_threads)) == shares


def test_where_no_thread_can_start_the_caller_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    batch_threads.POOLS.clear()
    torch.set_num_threads(N_THREADS)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(map_batches(abs, range(-3, 0), N_THREADS)) == [3, 2, 1]
    assert torch.get_num_threads() == N_THREADS and batch_threads.POOLS == {}


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


SCRIPT = """
import threading, torch
from spacy_ctxemb.embedder.batch_threads import map_batches

torch.set_num_threads(2)
main = threading.main_thread()

def work():
    list(map_batches(abs, range(4), 2))
    main.join()  # Python is ending from now on
    print(sum(map_batches(abs, range(4), 2)))

threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_one_goes_on() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "6\n", "")


@pytest.fixture
def n_run(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one for each batch that another thread computes."""
    seen: list[object] = []
    run = batch_threads.run_without_gradients
    monkeypatch.setattr(
        batch_threads,
        "run_without_gradients",
        lambda function, item: (seen.append(item), run(function, item))[1],
    )
    return seen


TEXTS = ["The otters slept on the bank.", "She asked.", "A loan of the bank, at last!"] * 40


@pytest.mark.parametrize("keep", ["tensor", "layers"])
def test_vectors_are_those_of_one_thread(model, keep: str, n_run: list[object]) -> None:
    several = {**model, "window": 30, "stride": 20, "batch_pieces": 600}
    nlp = initialised(several, keep=keep)
    pipe = nlp.get_pipe("ctxemb")
    expected = [pipe(nlp.make_doc(text)).tensor for text in TEXTS]
    torch.set_num_threads(N_THREADS)
    docs = list(nlp.pipe(TEXTS))
    assert bool(n_run) == (model is TRANSFORMER)
    for doc, tensor in zip(docs, expected, strict=True):
        np.testing.assert_allclose(doc.tensor, tensor, atol=1e-5)


def test_attention_is_that_of_one_thread(n_run: list[object]) -> None:
    several = {**TRANSFORMER, "window": 30, "stride": 20, "batch_pieces": 600}
    nlp = initialised(several, keep_attention=True)
    expected = [doc._.ctxemb_attention for doc in nlp.pipe(TEXTS)]
    torch.set_num_threads(N_THREADS)
    found = [doc._.ctxemb_attention for doc in nlp.pipe(TEXTS)]
    assert n_run
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one["weights"], other["weights"], atol=1e-5)


def test_only_transformers_of_this_package_compute_side_by_side(model) -> None:
    """The wrapper of others is not safe in threads, and a biLM has many small steps."""
    embedder = get_shim(initialised(model).get_pipe("ctxemb").model).embedder
    torch.set_num_threads(N_THREADS)
    is_transformer = model is TRANSFORMER
    assert embedder.count_batch_threads() == (N_THREADS if is_transformer else 1)
    assert not HuggingFaceEncoder.side_by_side and not Encoder.side_by_side
