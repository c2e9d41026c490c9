"""A shuffled order has each index once, can be entered anywhere, and is the seed's alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctxemb.pretraining.text.shuffle import BUFFER, BlockShuffle

SIZES = st.integers(1, 400), st.integers(1, 40)


@given(*SIZES, st.integers(0, 3), st.integers(0, 3))
def test_each_index_comes_once(n: int, block: int, seed: int, epoch: int) -> None:
    order = BlockShuffle(n, seed=seed, epoch=epoch, block=block)
    assert len(order) == n
    assert sorted(map(order, range(n))) == list(range(n))


@given(*SIZES, st.data())
def test_any_position_can_be_entered(n: int, block: int, data: st.DataObject) -> None:
    order = BlockShuffle(n, seed=1, epoch=2, block=block)
    expected = [order(i) for i in range(n)]
    other = BlockShuffle(n, seed=1, epoch=2, block=block)
    for position in data.draw(st.lists(st.integers(0, n - 1), max_size=20)):
        assert other(position) == expected[position]


@given(*SIZES)
def test_a_buffer_has_neighbours_of_few_blocks(n: int, block: int) -> None:
    order = BlockShuffle(n, seed=0, epoch=0, block=block)
    size = BUFFER * block
    # The short block moves the bounds of the buffers after it.
    for first in range(0, n - size, size):
        assert len({order(first + i) // block for i in range(size)}) <= 2 * BUFFER


def test_seeds_and_epochs_differ() -> None:
    orders = {
        tuple(map(BlockShuffle(50, seed=seed, epoch=epoch, block=4), range(50)))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_indices_are_spread_evenly() -> None:
    """Where an index lands has the mean and the spread of a uniform position."""
    n = 96
    positions = np.empty((300, n))
    for epoch in range(300):
        order = BlockShuffle(n, seed=5, epoch=epoch, block=4)
        positions[epoch, [order(i) for i in range(n)]] = np.arange(n)
    uniform = np.arange(n)
    np.testing.assert_allclose(
        positions.mean(0), uniform.mean(), atol=4.5 * uniform.std() / 300**0.5
    )
    # Neighbours do not stay together: as many follow each other as in any permutation, 1 of n.
    steps = np.abs(np.diff(positions, axis=1)) == 1
    assert steps.mean() < 10 / n


@pytest.mark.parametrize("position", [-1, 7])
def test_positions_beyond_the_end_are_refused(position: int) -> None:
    with pytest.raises(IndexError, match=str(position)):
        BlockShuffle(7, seed=0, epoch=0)(position)
