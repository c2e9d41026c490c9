"""The n-gram model is the published one, and reads what the biLM reads."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_ctxemb.objectives.bilm_loss import BEGIN, END
from spacy_ctxemb.pretraining.tasks.bilm.batches import Units, lay_rows
from spacy_ctxemb.pretraining.tasks.bilm.task import BiLMTask

from ..pretraining.runs import build_trainer, tiny_run, write_documents
from .kneser_ney import choose_units, find_seed, lay_out
from .ngram_model import ABSENT, FALLBACK, KneserNey, Words, find_discounts
from .pretrained_runs import Run, number_words

BEGINNING, ENDING, A, B, C = range(5)


def read(texts: Sequence[Sequence[int]], *, is_backward: bool = False) -> Words:
    units = Units(np.cumsum([len(text) for text in texts]))
    words = np.array([word for text in texts for word in text], dtype=np.int64)
    return lay_out(words, units, (BEGINNING, ENDING), is_backward=is_backward)


def test_probabilities_by_hand() -> None:
    """Of "a b", "a c" and "a b" between boundaries: <S> a 3, a b 2, b </S> 2, a c 1, c </S> 1.

    Too few counts for discounts, so they are 0.5, 1 and 1.5. Different words occur before a: 1,
    b: 1, c: 1, </S>: 2; of these 5 counts 0.5 + 0.5 + 0.5 + 1 = 2.5 go to 4 words alike, 1/8 each.
    """
    model = KneserNey(read([[A, B], [A, C], [A, B]]), n_words=5, begin=BEGINNING, order=2)
    assert model.discounts == [FALLBACK, FALLBACK]
    unigrams = {A: 0.5 / 5 + 1 / 8, B: 0.5 / 5 + 1 / 8, C: 0.5 / 5 + 1 / 8, ENDING: 1 / 5 + 1 / 8}
    assert model.unigrams == pytest.approx([0.0, *(unigrams[w] for w in (ENDING, A, B, C))])
    expected = {
        (BEGINNING, A): 1.5 / 3 + 1.5 / 3 * unigrams[A],
        (A, B): 1 / 3 + 1.5 / 3 * unigrams[B],
        (A, C): 0.5 / 3 + 1.5 / 3 * unigrams[C],
        (A, ENDING): 1.5 / 3 * unigrams[ENDING],
        (ENDING, A): unigrams[A],  # nothing is known of what comes after it
    }
    histories, words = np.array(list(expected)).T
    found = model.probabilities(histories[:, None], words)
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-12)


def test_discounts_by_hand() -> None:
    """Chen and Goodman 1999, equation 17, of 4, 3, 2 and 1 n-grams: Y = 4 / 10."""
    found = find_discounts(np.array([1] * 4 + [2] * 3 + [3] * 2 + [4] + [9]))
    assert found == pytest.approx((1 - 0.8 * 3 / 4, 2 - 1.2 * 2 / 3, 3 - 1.6 * 1 / 2))


class Reference:
    """The same model as its formulas stand in the paper, over dictionaries."""

    def __init__(self, texts: Sequence[Sequence[int]], n_words: int, order: int) -> None:
        self.n_words, self.order = n_words, order
        plain: Counter[tuple[int, ...]] = Counter()
        for text in texts:
            line = [BEGINNING, *text, ENDING]
            for n in range(1, order + 1):
                plain.update(tuple(line[i : i + n]) for i in range(len(line) - n + 1))
        self.counts: list[dict[tuple[int, ...], int]] = []
        for n in range(1, order + 1):
            grams = [g for g in plain if len(g) == n and g != (BEGINNING,)]
            before = Counter(g[1:] for g in plain if len(g) == n + 1)
            self.counts.append(
                {g: plain[g] if n == order or g[0] == BEGINNING else before[g] for g in grams}
            )
        self.discounts = [
            (0.0, *find_discounts(np.array(list(counts.values())))) for counts in self.counts
        ]

    def p(self, word: int, history: tuple[int, ...]) -> float:
        n = len(history) + 1
        lower = self.p(word, history[1:]) if history else float(word != BEGINNING)
        lower = lower if history else lower / (self.n_words - 1)
        after = {g: c for g, c in self.counts[n - 1].items() if g[:-1] == history}
        if not after:
            return lower
        taken = self.discounts[n - 1]
        count = after.get((*history, word), 0)
        left = sum(taken[min(c, 3)] for c in after.values())
        return (count - taken[min(count, 3)] + left * lower) / sum(after.values())


WORD = st.integers(A, C + 3)
TEXTS = st.lists(st.lists(WORD, min_size=1, max_size=9), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, history=st.lists(WORD, max_size=4), begins=st.booleans())
def test_probabilities_are_the_formulas(
    texts: list[list[int]], history: list[int], begins: bool
) -> None:
    n_words, order = C + 4, 4
    model = KneserNey(read(texts), n_words=n_words, begin=BEGINNING, order=order)
    context = ([BEGINNING] if begins else []) + history
    row = np.array([ABSENT] * order + context)[len(context) + 1 :]
    words = np.arange(n_words)
    found = model.probabilities(np.tile(row, (n_words, 1)), words)
    known = tuple(int(w) for w in row if w != ABSENT)
    reference = Reference(texts, n_words, order)
    expected = [reference.p(int(word), known) for word in words]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert found.sum() == pytest.approx(1.0)
    assert found[BEGINNING] == 0.0


def test_probabilities_sum_to_one_in_any_context() -> None:
    """With discounts from counts, in contexts that occur and in others, in both directions."""
    rng = np.random.default_rng(0)
    n_words, order = 300, 5
    texts = [(2 + (rng.zipf(1.4, size=rng.integers(1, 30)) - 1) % 298).tolist() for _ in range(400)]
    for is_backward in (False, True):
        text = read(texts, is_backward=is_backward)
        begin = ENDING if is_backward else BEGINNING
        model = KneserNey(text, n_words=n_words, begin=begin, order=order)
        assert all(FALLBACK != discounts for discounts in model.discounts)
        seen = text.histories(order)[rng.integers(0, len(text.targets()), size=30)]
        rows = np.concatenate([seen, rng.integers(0, n_words, size=(30, order - 1))])
        for row in rows:
            found = model.probabilities(np.tile(row, (n_words, 1)), np.arange(n_words))
            assert found.sum() == pytest.approx(1.0)
            assert (np.delete(found, begin) > 0).all()


def test_backward_is_forward_over_reversed_texts() -> None:
    texts = [[A, B, C], [C], [B, B, A, C, A]]
    backward = read(texts, is_backward=True)
    units = Units(np.cumsum([len(text) for text in texts]))
    reversed_words = np.array([word for text in texts for word in text])[::-1]
    lengths = np.diff(units.ends, prepend=0)
    forward = lay_out(
        reversed_words, Units(np.cumsum(lengths[::-1])), (ENDING, BEGINNING), is_backward=False
    )
    np.testing.assert_array_equal(backward.ids, forward.ids)
    np.testing.assert_array_equal(backward.depth, forward.depth)


def test_histories_end_where_texts_begin() -> None:
    text = read([[A, B], [C]])
    assert text.ids[text.targets()].tolist() == [A, B, ENDING, C, ENDING]
    assert text.histories(3).tolist() == [
        [ABSENT, BEGINNING],
        [BEGINNING, A],
        [A, B],
        [ABSENT, BEGINNING],
        [BEGINNING, C],
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, BiLMTask]:
    folder = tmp_path_factory.mktemp("run")
    config = tiny_run(
        write_documents(folder, n_documents=30),
        pretrain__objective__max_sentences=3,
        pretrain__objective__vocab_size=30,
        pretrain__seed=3,
    )
    trainer = build_trainer(config, folder)
    config.to_disk(folder / "config.cfg")
    assert isinstance(trainer.task, BiLMTask)
    return Run(folder), trainer.task


def test_words_are_the_targets_of_the_bilm(run: tuple[Run, BiLMTask]) -> None:
    """Of the same text, in the same order: the two models are asked the same questions."""
    found, task = run
    text = task.held_out
    words = number_words(found.held_out, found.vocabulary)
    boundaries = found.vocabulary.index(BEGIN), found.vocabulary.index(END)
    laid = lay_out(
        words, Units(np.asarray(found.held_out.sentence_ends)), boundaries, is_backward=False
    )
    read_ids, predicted = lay_rows(text.store, range(1), 1)
    targets = text.make_batch(read_ids, predicted)["targets"][0].numpy()
    np.testing.assert_array_equal(laid.ids[laid.targets()], targets)
    sums = task.evaluate(0, 1)
    assert sums["forward"][1] == len(targets)


def test_units_are_those_that_the_bilm_reads_first(run: tuple[Run, BiLMTask]) -> None:
    found, task = run
    stream = task.open_stream(0, 1)
    for direction, reader in enumerate(stream.directions):
        taken = [reader.queue.take() for _ in range(10)]
        lengths = np.diff(task.units.ends, prepend=0)[taken] + 1
        seed = find_seed(found, direction)
        n = int(lengths[:9].sum()) + 1  # a target of the tenth
        assert choose_units(task.units, n, seed=seed).tolist() == sorted(taken)
    everything = choose_units(task.units, None, seed=0)
    assert everything.tolist() == list(range(len(task.units)))
