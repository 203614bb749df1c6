"""The benchmark of attacks: equal nets on both sides, and a table of medians."""

import sys
from types import SimpleNamespace

import bench_attacks
import numpy as np
import pytest

import tinyconv as tc
from tinyconv.nn import functional as F


@pytest.fixture
def net():
    tc.manual_seed(0)
    return tc.models.LeNet5().eval()


def test_the_net_is_trained_on_digits(monkeypatch):
    digits = tc.datasets.Digits(train=True, size=28)
    few = SimpleNamespace(images=digits.images[:64], targets=digits.targets[:64])
    monkeypatch.setattr(bench_attacks.tc.datasets, "Digits", lambda train, size: few)
    model = bench_attacks.trained_lenet()
    assert not model.training
    with tc.no_grad():
        loss = F.cross_entropy(model(tc.as_tensor(few.images)), tc.as_tensor(few.targets)).item()
    assert loss < 2.2  # a guess among ten has 2.3


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_twin_in_pytorch_gives_the_same_logits(net, channels_last):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).uniform(0, 1, (3, 1, 28, 28)).astype(np.float32)
    twin = bench_attacks.torch_twin(net, channels_last)
    theirs = twin(torch.tensor(x)).detach().numpy()
    with tc.no_grad():
        assert np.allclose(net(tc.tensor(x)).numpy(), theirs, atol=1e-5)


@pytest.fixture
def stand_ins(monkeypatch):
    """Return what the two libraries are asked for; stand-ins for them give the images back."""
    asked = []

    def torchattacks_pgd(twin, **settings):
        asked.append((twin, settings))
        return lambda x, y: x

    def foolbox_pgd(**settings):
        asked.append((None, settings))
        return lambda net, x, y, epsilons: (None, x, None)

    foolbox = SimpleNamespace(
        PyTorchModel=lambda twin, bounds, device: twin,
        attacks=SimpleNamespace(LinfPGD=foolbox_pgd),
    )
    monkeypatch.setitem(sys.modules, "torchattacks", SimpleNamespace(PGD=torchattacks_pgd))
    monkeypatch.setitem(sys.modules, "foolbox", foolbox)
    return asked


def test_rivals_attack_in_both_memory_orders(net, stand_ins):
    torch = pytest.importorskip("torch")
    x = tc.rand(4, 1, 28, 28)
    y = net(x).argmax(1)
    y[0] = (y[0] + 1) % 10
    found = bench_attacks.rivals(net, x, y, 20)
    orders = ["", " channels_last"]
    assert list(found) == [name + order for order in orders for name in ("torchattacks", "foolbox")]
    assert [run() for run in found.values()] == [0.75] * 4
    size = pytest.approx(2.5 * 0.1 / 20)  # as the default of tinyconv
    assert [settings for _, settings in stand_ins] == [
        {"eps": 0.1, "alpha": size, "steps": 20}, {"abs_stepsize": size, "steps": 20},
    ] * 2  # fmt: skip
    last = [twin[3].weight.is_contiguous(memory_format=torch.channels_last)
            for twin, _ in stand_ins if twin is not None]  # fmt: skip
    assert last == [False, True]


def test_libraries_that_are_not_installed_are_left_out(net, stand_ins, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "foolbox", None)
    found = bench_attacks.rivals(net, tc.rand(1, 1, 28, 28), tc.tensor([0]), 1)
    assert list(found) == ["torchattacks", "torchattacks channels_last"]


def test_without_pytorch_there_are_no_rivals(net, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert bench_attacks.rivals(net, tc.rand(1, 1, 28, 28), tc.tensor([0]), 1) == {}


def test_the_table_has_the_ratio_of_medians(net, monkeypatch, capsys):
    monkeypatch.setattr(bench_attacks, "trained_lenet", lambda: net)
    asked, runs = [], []

    def rivals(model, x, y, steps):
        asked.append((model, len(x), len(y), steps))
        return {"other": lambda: runs.append(1) or 0.25}

    monkeypatch.setattr(bench_attacks, "rivals", rivals)
    # A round has three runs; by this clock the n-th one takes n seconds. The end of those in the
    # first round is not looked at.
    ticks = iter([0, 0, 0, *(tick for n in range(4, 13) for tick in (0, n))])
    monkeypatch.setattr(bench_attacks, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    bench_attacks.main(["--rounds", "3", "--steps", "1", "--count", "4"])
    assert asked == [(net, 4, 4, 1)]
    assert len(runs) == 4  # three rounds, and one to warm up
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "PGD-1, 4 digits, LeNet-5, eps 0.1"
    # Runs 4, 7 and 10 are ours with all steps, 6, 9 and 12 are the other's: medians 7 and 9.
    assert lines[2].split()[:-1] == ["tinyconv,", "all", "steps", "7.00", "1.00"]
    assert lines[4].split() == ["other", "9.00", "1.29", "25.0%"]
