"""The loader: PyTorch's semantics, and batches that nothing but seed and epoch changes."""

import gc
import itertools
import json

import numpy as np
import pytest

from tinyconv import config
from tinyconv.backend import Device
from tinyconv.backend.generator import Generator, default_generator, manual_seed
from tinyconv.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)
from tinyconv.errors import ArgumentError, DataError, StateDictError
from tinyconv.ops import tensor
from tinyconv.tensor import Tensor

#: Ways to load that must all give the same batches.
WAYS = [
    {"num_workers": 1},
    {"num_workers": 2},
    {"num_workers": 4, "prefetch_factor": 8, "persistent_workers": True},
    {"num_workers": 1, "worker_type": "process", "prefetch_factor": 1},
    {"num_workers": 2, "worker_type": "process", "persistent_workers": True},
    {"num_workers": 2, "worker_type": "process", "multiprocessing_context": "spawn",
     "persistent_workers": True},
]  # fmt: skip


class Noisy(Dataset):
    """Samples with random noise of the default generator: an augmentation."""

    def __len__(self):
        return 23

    def __getitem__(self, index):
        noise = default_generator().uniform(Device("cpu").backend, (3,))
        return {"x": np.full(3, index, np.float32) + noise, "y": index, "name": str(index)}


class Count(IterableDataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __iter__(self):
        for number in range(self.size):
            yield number, default_generator().uniform(Device("cpu").backend, (2,))


def as_lists(batch):
    if isinstance(batch, Tensor):
        return batch.tolist()
    if isinstance(batch, dict):
        return {key: as_lists(value) for key, value in batch.items()}
    return [as_lists(part) for part in batch] if isinstance(batch, list | tuple) else batch


def epochs(loader, count=2):
    return [[as_lists(batch) for batch in loader] for _ in range(count)]


def worker_and_parity(samples):
    """A collate_fn that runs in the worker and makes tensors itself."""
    return tensor([sample["y"] for sample in samples]), len(samples) % 2 == 0


# -- R2: the same batches whoever loads them ------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_workers_never_change_a_batch(way):
    def loader(**options):
        return DataLoader(Noisy(), 4, shuffle=True, generator=Generator(11), **options)

    expected = epochs(loader())
    assert expected[0] != expected[1]
    assert epochs(loader(**way)) == expected


@pytest.mark.parametrize("way", WAYS[1::3], ids=str)
def test_workers_never_change_a_stream(way):
    def loader(**options):
        return DataLoader(Count(10), 4, generator=Generator(11), **options)

    expected = epochs(loader())
    assert [len(batch[0]) for batch in expected[0]] == [4, 4, 2]
    assert expected[0] != expected[1]  # another epoch draws other numbers
    assert epochs(loader(**way)) == expected


@pytest.mark.parametrize("way", [{}, *WAYS[1::3]], ids=str)
def test_custom_collate_runs_in_the_worker(way):
    batches = list(DataLoader(Noisy(), 4, collate_fn=worker_and_parity, **way))
    assert [labels.tolist() for labels, _ in batches][-1] == [20, 21, 22]
    assert [even for _, even in batches] == [True] * 5 + [False]


def test_loading_leaves_the_default_generator_alone():
    generator = default_generator()
    state = generator.get_state()
    list(DataLoader(Noisy(), 4, shuffle=True))
    assert generator.get_state() == state


class Settings(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tensor([1.5]).dtype.name


@pytest.mark.parametrize("way", [{}, *WAYS[:1], WAYS[3]], ids=str)
def test_workers_work_under_the_consumers_settings(way):
    with config.override(dtype="float64"):
        assert [list(batch) for batch in DataLoader(Settings(), 2, **way)] == [["float64"] * 2]


def test_batches_land_on_the_default_device():
    with Device("strict"):
        for way in ({}, {"num_workers": 1}):
            for batch in DataLoader([np.ones(2)] * 3, 2, **way):
                assert batch.device.type == "strict"


# -- PyTorch's semantics --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 8])
@pytest.mark.parametrize(
    ("batch_size", "drop_last"),
    [(None, False), *itertools.product([1, 3, 8, 9], [False, True])],
)
def test_lengths_and_batches_are_those_of_pytorch(size, batch_size, drop_last):
    torch = pytest.importorskip("torch")
    data = [np.float32(i) for i in range(size)]
    ours = DataLoader(data, batch_size, drop_last=drop_last)
    theirs = torch.utils.data.DataLoader(data, batch_size, drop_last=drop_last)
    assert len(ours) == len(theirs)
    assert [batch.tolist() for batch in ours] == [batch.tolist() for batch in theirs]


@pytest.mark.parametrize("size", [0, 5, 6])
@pytest.mark.parametrize("batch_size", [2, None])
def test_lengths_of_streams_are_those_of_pytorch(size, batch_size):
    torch = pytest.importorskip("torch")

    class Theirs(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(size))

        def __len__(self):
            return size

    class Ours(IterableDataset):
        __iter__, __len__ = Theirs.__iter__, Theirs.__len__

    for drop_last in {False, batch_size is not None}:
        ours = DataLoader(Ours(), batch_size, drop_last=drop_last)
        theirs = torch.utils.data.DataLoader(Theirs(), batch_size, drop_last=drop_last)
        assert len(ours) == len(theirs)
        assert [as_lists(batch) for batch in ours] == [
            batch.tolist() if batch_size else batch for batch in theirs
        ]


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True, "sampler": [0, 1]},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "shuffle": True},
        {"batch_sampler": [[0]], "sampler": [0]},
        {"batch_sampler": [[0]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"num_workers": -1},
        {"timeout": -1, "num_workers": 1},
        {"prefetch_factor": 2},
        {"persistent_workers": True},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_as_in_pytorch(options):
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match=r"DataLoader|BatchSampler"):
        DataLoader(range(4), **options)
    with pytest.raises(ValueError, match=r"\w"):
        torch.utils.data.DataLoader(range(4), **options)


@pytest.mark.parametrize(
    "options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}], ids=str
)
def test_a_stream_has_its_own_order(options):
    with pytest.raises(ArgumentError, match="IterableDataset"):
        DataLoader(Count(3), **options)


def test_worker_options_are_checked():
    with pytest.raises(ArgumentError, match="'thread' or 'process'"):
        DataLoader(range(3), worker_type="fibre")
    with pytest.raises(ArgumentError, match="prefetch_factor must be >= 1, got 0"):
        DataLoader(range(3), num_workers=1, prefetch_factor=0)
    with pytest.raises(ArgumentError, match="worker_type='process'"):
        DataLoader(range(3), num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(ArgumentError, match=r"choose .*spawn"):
        iter(
            DataLoader(
                range(3), num_workers=1, worker_type="process", multiprocessing_context="thread"
            )
        )


def test_each_epoch_is_shuffled_anew_and_covers_all():
    loader = DataLoader(range(30), 30, shuffle=True, generator=Generator(0))
    orders = [tuple(batch.tolist()) for _ in range(5) for batch in loader]
    assert len(set(orders)) == 5
    assert all(sorted(order) == list(range(30)) for order in orders)


def test_manual_seed_fixes_the_order():
    def order():
        return [batch.tolist() for batch in DataLoader(range(9), 2, shuffle=True)]

    manual_seed(4)
    first = order()
    manual_seed(4)
    assert order() == first
    manual_seed(5)
    assert order() != first


def test_samplers_of_the_user():
    assert [b.tolist() for b in DataLoader("abcdef", 2, sampler=np.array([4, 1, 0]),
            collate_fn=lambda s: np.array([ord(c) - 97 for c in s]))] == [[4, 1], [0]]  # fmt: skip
    batches = [[0], [1, 2], []]
    loader = DataLoader(range(3), batch_sampler=batches, collate_fn=list)
    assert list(loader) == batches
    assert len(loader) == 3
    assert loader.batch_size is None
    weighted = WeightedRandomSampler([0.0, 1.0], 4, generator=Generator(0))
    assert [b.tolist() for b in DataLoader(range(2), 3, sampler=weighted)] == [[1, 1, 1], [1]]


def test_whole_batches_are_fetched_at_once_where_the_data_set_can():
    class Whole(Dataset):
        def __len__(self):
            return 5

        def __getitems__(self, indices):
            return [index * 10 for index in indices]

    assert [b.tolist() for b in DataLoader(Whole(), 3)] == [[0, 10, 20], [30, 40]]
    pairs = TensorDataset(tensor([[1.0], [2.0]]), tensor([3, 4]))
    features, labels = next(iter(DataLoader(pairs, 2)))
    assert features.tolist() == [[1.0], [2.0]]
    assert labels.tolist() == [3, 4]


def report_worker(samples):
    info = get_worker_info()
    return None if info is None else (info.id, info.num_workers, info.seed, len(info.dataset))


@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_workers_know_who_they_are(worker_type):
    loader = DataLoader(
        range(40), 1, num_workers=2, worker_type=worker_type, collate_fn=report_worker
    )
    seen = set(loader)
    assert {info[0] for info in seen} <= {0, 1}
    assert {info[1:2] + info[3:] for info in seen} == {(2, 40)}
    assert len({info[2] for info in seen}) == len({info[0] for info in seen})
    assert list(DataLoader(range(2), collate_fn=report_worker)) == [None, None]
    assert get_worker_info() is None


def test_a_stream_is_read_by_one_worker():
    class Sharded(IterableDataset):
        """PyTorch's recipe: each worker reads its share."""

        def __iter__(self):
            info = get_worker_info()
            return iter(range(6)) if info is None else iter(range(info.id, 6, info.num_workers))

    assert [b.tolist() for b in DataLoader(Sharded(), 2, num_workers=3)] == [[0, 1], [2, 3], [4, 5]]


def test_worker_init_fn_runs_once_in_each_worker():
    started = []
    loader = DataLoader(
        range(50), num_workers=3, worker_init_fn=started.append, persistent_workers=True
    )
    epochs(loader, 3)
    del loader
    gc.collect()
    assert sorted(started) == sorted(set(started))
    assert set(started) <= {0, 1, 2}
    assert started


def test_workers_do_not_read_further_ahead_than_asked():
    taken = []

    def indices():
        for index in range(100):
            taken.append(index)
            yield index

    class Order:
        def __iter__(self):
            return indices()

    iterator = iter(DataLoader(range(100), sampler=Order(), num_workers=2, prefetch_factor=3))
    next(iterator)
    assert len(taken) == 6


# -- epochs and resuming --------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 1, 3, 6])
@pytest.mark.parametrize(
    ("before", "after"), [({}, WAYS[1]), (WAYS[1], {}), (WAYS[2], WAYS[3]), ({}, {})]
)
@pytest.mark.parametrize("dataset", [Noisy(), Count(23)], ids=["map", "stream"])
def test_resume_in_the_middle_of_an_epoch(dataset, position, before, after):
    def loader(options, seed):
        shuffle = isinstance(dataset, Noisy)
        return DataLoader(dataset, 4, shuffle=shuffle, generator=Generator(seed), **options)

    expected = epochs(loader({}, 11), 3)
    first = loader(before, 11)
    epochs(first, 1)
    received = list(itertools.islice(iter(first), position))
    assert len(received) == position
    state = json.loads(json.dumps(first.state_dict()))
    assert state == {"seed": 11, "epoch": 1 if position else 2, "position": position} or (
        position == 0 and state["epoch"] == 1
    )

    second = loader(after, 99)  # the state's seed, not the generator's, is in force
    second.load_state_dict(state)
    assert [as_lists(batch) for batch in second] == expected[1][position:]
    assert epochs(second, 1)[0] == expected[2]


def test_the_state_counts_what_was_received_not_what_was_read_ahead():
    loader = DataLoader(range(20), 2, num_workers=2, prefetch_factor=4, generator=Generator(0))
    positions = []
    for _ in loader:
        positions.append(loader.state_dict()["position"])
    assert positions == list(range(1, 11))
    assert loader.state_dict() == {"seed": 0, "epoch": 1, "position": 0}


def test_leaving_a_pass_early_ends_its_epoch():
    loader = DataLoader(range(9), 3, shuffle=True, generator=Generator(0))
    expected = epochs(loader, 2)
    loader.set_epoch(0)
    for _ in loader:
        break
    assert loader.state_dict()["position"] == 1
    assert epochs(loader, 1)[0] == expected[1]


def test_set_epoch_goes_to_the_start_of_an_epoch():
    loader = DataLoader(range(9), 3, shuffle=True, generator=Generator(0))
    expected = epochs(loader, 3)
    loader.set_epoch(1)
    assert epochs(loader, 1)[0] == expected[1]
    running = iter(loader)
    loader.set_epoch(0)
    list(running)  # a pass that began before does not count any more
    assert epochs(loader, 1)[0] == expected[0]
    with pytest.raises(ArgumentError, match="set_epoch"):
        loader.set_epoch(-1)


def test_two_passes_at_once_are_two_epochs():
    loader = DataLoader(range(9), 3, shuffle=True, generator=Generator(0))
    expected = epochs(loader, 2)
    loader.set_epoch(0)
    pairs = [(as_lists(a), as_lists(b)) for a, b in zip(loader, loader, strict=True)]
    assert [a for a, _ in pairs] == expected[0]
    assert [b for _, b in pairs] == expected[1]


def test_a_sampler_with_set_epoch_is_told_the_epoch():
    class Rotating:
        epoch = 0

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __iter__(self):
            return iter([(self.epoch + i) % 3 for i in range(3)])

    loader = DataLoader(range(3), 3, sampler=Rotating())
    assert epochs(loader, 3) == [[[0, 1, 2]], [[1, 2, 0]], [[2, 0, 1]]]
    inside = DataLoader(range(3), batch_sampler=BatchSampler(Rotating(), 3, False))
    assert epochs(inside, 2) == [[[0, 1, 2]], [[1, 2, 0]]]


def test_the_seed_of_a_samplers_own_generator_is_used_and_saved():
    def loader(seed):
        return DataLoader(range(9), 3, sampler=RandomSampler(range(9), generator=Generator(seed)))

    assert loader(7).state_dict()["seed"] == 7
    assert epochs(loader(7)) == epochs(loader(7)) != epochs(loader(8))


@pytest.mark.parametrize(
    "state",
    [{}, {"seed": 0, "epoch": 0}, {"seed": 0, "epoch": 0, "position": -1},
     {"seed": 0, "epoch": 0.0, "position": 0}, {"seed": 0, "epoch": True, "position": 0},
     {"seed": 0, "epoch": 0, "position": 0, "worker": 1},
     {"seed": 2**64, "epoch": 0, "position": 0}],
    ids=str,
)  # fmt: skip
def test_a_bad_state_is_refused_and_changes_nothing(state):
    loader = DataLoader(range(9), 3, generator=Generator(5))
    before = loader.state_dict()
    with pytest.raises(StateDictError, match="seed, epoch and position"):
        loader.load_state_dict(state)
    assert loader.state_dict() == before


def test_one_stream_at_a_time_with_persistent_workers():
    loader = DataLoader(Count(8), 2, num_workers=1, persistent_workers=True, prefetch_factor=1)
    old = iter(loader)
    next(old)
    new = iter(loader)
    next(new)
    with pytest.raises(DataError, match="another iterator"):
        list(old)
