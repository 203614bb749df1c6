"""Samplers."""

import numpy as np
import pytest

from tinyconv.backend.generator import Generator
from tinyconv.data import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from tinyconv.errors import ArgumentError


def test_sequential():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert len(SequentialSampler("abc")) == 3


def test_random_is_a_permutation_that_changes_with_epoch_and_seed():
    sampler = RandomSampler(range(100), generator=Generator(5))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert list(RandomSampler(range(100), generator=Generator(5))) == first
    assert list(RandomSampler(range(100), generator=Generator(6))) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_the_order_is_that_of_the_moment_when_the_pass_starts():
    sampler = RandomSampler(range(20), generator=Generator(5))
    expected = list(sampler)
    sampler.set_epoch(0)
    started = iter(BatchSampler(sampler, 20, False))
    sampler.set_epoch(7)
    assert next(started) == expected


def test_random_num_samples():
    many = list(RandomSampler(range(4), num_samples=10, generator=Generator(0)))
    assert len(many) == 10
    assert sorted(many[:4]) == sorted(many[4:8]) == [0, 1, 2, 3]
    assert len(set(many[8:])) == 2
    drawn = RandomSampler(range(4), replacement=True, num_samples=4000, generator=Generator(0))
    counts = np.bincount(list(drawn), minlength=4)
    assert (np.abs(counts - 1000) < 5 * np.sqrt(1000 * 0.75)).all()  # 5 standard deviations
    assert list(RandomSampler([])) == []
    with pytest.raises(ArgumentError, match="num_samples"):
        RandomSampler(range(4), num_samples=0)


def test_every_position_sees_every_sample():
    """First elements of many epochs are uniform: chi-squared of 5 bins, 99.99 % quantile."""
    sampler = RandomSampler(range(5), generator=Generator(3))
    counts = np.bincount([next(iter(sampler)) for _ in range(2000)], minlength=5)
    assert ((counts - 400) ** 2 / 400).sum() < 23.5


def test_subset_random():
    sampler = SubsetRandomSampler([3, 1, 8], generator=Generator(0))
    assert sorted(sampler) == [1, 3, 8]
    assert len(sampler) == 3
    assert len({tuple(sampler) for _ in range(50)}) == 6  # all orders occur


def test_weighted_with_replacement_follows_the_weights():
    weights = [0.0, 1.0, 3.0, 0.0]
    drawn = list(WeightedRandomSampler(weights, 8000, generator=Generator(1)))
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] == counts[3] == 0
    assert abs(counts[1] - 2000) < 5 * np.sqrt(8000 * 0.25 * 0.75)


def test_weighted_without_replacement_draws_successively():
    """The first of two draws follows the weights; the second those of what is left."""
    sampler = WeightedRandomSampler([1.0, 2.0, 5.0], 2, replacement=False, generator=Generator(2))
    n = 6000
    pairs = [tuple(sampler) for _ in range(n)]
    assert all(a != b for a, b in pairs)
    for pair, probability in {(2, 1): 5 / 8 * 2 / 3, (0, 2): 1 / 8 * 5 / 7}.items():
        deviation = abs(pairs.count(pair) - n * probability)
        assert deviation < 5 * np.sqrt(n * probability * (1 - probability))


@pytest.mark.parametrize("weights", [[], [-1.0, 2.0], [0.0], [float("nan")], [[1.0]]])
def test_weighted_refuses_bad_weights(weights):
    with pytest.raises(ArgumentError, match="weights"):
        WeightedRandomSampler(weights, 1)


def test_weighted_refuses_impossible_counts():
    with pytest.raises(ArgumentError, match="without replacement from 1"):
        WeightedRandomSampler([1.0, 0.0], 2, replacement=False)
    with pytest.raises(ArgumentError, match="num_samples"):
        WeightedRandomSampler([1.0], 0)


@pytest.mark.parametrize("size", [0, 1, 6, 7])
@pytest.mark.parametrize("drop_last", [True, False])
def test_batches_are_those_of_pytorch(size, drop_last):
    torch = pytest.importorskip("torch")
    ours = BatchSampler(range(size), 3, drop_last)
    theirs = torch.utils.data.BatchSampler(range(size), 3, drop_last)
    assert list(ours) == list(theirs)
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_batch_sampler_refuses_bad_sizes(batch_size):
    with pytest.raises(ArgumentError, match="batch_size"):
        BatchSampler(range(3), batch_size, False)
