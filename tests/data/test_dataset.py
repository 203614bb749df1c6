"""Data sets and how they are combined and split."""

import numpy as np
import pytest

from tinyconv.backend.generator import Generator
from tinyconv.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    SampleColumns,
    Subset,
    TensorDataset,
    random_split,
)
from tinyconv.errors import ArgumentError, DataError, IndexRangeError
from tinyconv.ops import tensor


class Letters(Dataset):
    def __init__(self, text):
        self.text = text

    def __len__(self):
        return len(self.text)

    def __getitem__(self, index):
        return self.text[index]


class Stream(IterableDataset):
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def __len__(self):
        return len(self.items)


def test_tensor_dataset_gives_rows_of_every_tensor(backend):
    images = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    data = TensorDataset(tensor(images), tensor([7, 8, 9]))
    assert len(data) == 3
    image, label = data[-1]
    assert image.tolist() == [8.0, 9.0, 10.0, 11.0]
    assert label.item() == 9


def test_tensor_dataset_fetches_a_batch_like_single_samples(backend):
    data = TensorDataset(tensor([[1, 2], [3, 4], [5, 6]]), np.array([0.5, 1.5, 2.5]))
    batch = data.__getitems__([2, -3, 2])
    assert len(batch) == 3
    assert [(x.tolist(), float(y)) for x, y in batch] == [
        ([5, 6], 2.5), ([1, 2], 0.5), ([5, 6], 2.5)
    ]  # fmt: skip
    assert [x.tolist() for x, _ in batch[1:]] == [[1, 2], [5, 6]]


@pytest.mark.parametrize("index", [3, -4])
def test_tensor_dataset_refuses_indices_out_of_range(index):
    data = TensorDataset(tensor([1, 2, 3]))
    with pytest.raises(IndexError):
        data[index]
    with pytest.raises(IndexRangeError, match=f"sample {index} of 3"):
        data.__getitems__([0, index])


def test_tensor_dataset_refuses_unequal_lengths():
    with pytest.raises(DataError, match=r"\(2,\), \(3,\)"):
        TensorDataset(tensor([1, 2]), tensor([1, 2, 3]))
    with pytest.raises(DataError):
        TensorDataset()
    with pytest.raises(DataError):
        TensorDataset(tensor(1.0))


def test_sample_columns_is_a_sequence():
    batch = SampleColumns(np.arange(2))
    assert list(batch) == [(0,), (1,)]
    with pytest.raises(IndexRangeError):
        batch[2]


def test_subset_takes_the_given_order():
    part = Subset(Letters("abcdef"), [5, 0, 5])
    assert [part[i] for i in range(len(part))] == ["f", "a", "f"]
    assert part.__getitems__ is None  # so that the loader asks for single samples
    nested = Subset(Subset(TensorDataset(tensor([10, 11, 12])), [2, 1]), [1])
    assert nested.__getitems__([0])[0][0].item() == 11


def test_concat_equals_the_joined_list():
    parts = ["ab", "", "cde"]
    data = ConcatDataset([Letters(part) for part in parts])
    assert data.cumulative_sizes == [2, 2, 5]
    assert [data[i] for i in range(-5, 5)] == list("abcde" * 2)
    assert [(Letters("ab") + Letters("c"))[i] for i in range(3)] == list("abc")
    with pytest.raises(IndexRangeError):
        data[5]


def test_streams_are_chained_not_concatenated():
    chain = Stream([1, 2]) + Stream([3])
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [1, 2, 3]
    assert len(chain) == 3
    with pytest.raises(DataError, match="stream"):
        ConcatDataset([Stream([1])])


def test_a_data_set_without_samples_says_what_to_define():
    with pytest.raises(DataError, match="__getitem__"):
        Dataset()[0]
    with pytest.raises(DataError, match="__iter__"):
        iter(IterableDataset())


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(10, [7, 3]), (10, [0.8, 0.2]), (10, [0.33, 0.33, 0.34]), (7, [0.5, 0.5]), (1, [1.0]),
     (103, [0.1] * 10), (5, [5, 0])],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Length of split")
def test_random_split_has_the_sizes_of_pytorch_and_covers_all(size, lengths):
    torch = pytest.importorskip("torch")
    parts = random_split(range(size), lengths, Generator(0))
    theirs = torch.utils.data.random_split(range(size), lengths)
    assert [len(part) for part in parts] == [len(part) for part in theirs]
    assert sorted(x for part in parts for x in part.indices) == list(range(size))


def test_random_split_depends_on_the_generator_alone():
    def split(generator):
        return [part.indices for part in random_split(range(50), [0.5, 0.5], generator)]

    assert split(Generator(1)) == split(Generator(1))
    assert split(Generator(1)) != split(Generator(2))
    generator = Generator(1)
    assert split(generator) != split(generator)  # two draws of one generator


@pytest.mark.parametrize("lengths", [[5, 6], [0.5, 0.6], [-1, 11], [1.5, -0.5], []])
def test_random_split_refuses_lengths_that_do_not_add_up(lengths):
    with pytest.raises(ArgumentError, match="random_split"):
        random_split(range(10), lengths)
