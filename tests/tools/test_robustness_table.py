"""The robustness tool trains each net in its own way, and prints what attacks leave of it."""

import numpy as np
import pytest
import robustness

import tinyconv as tc
from tinyconv import adversarial

NAMES = ["plain", "FGSM-RS", "PGD-7", "TRADES"]


def share_right(model, x, y):
    with tc.no_grad():
        return float((model(x).argmax(1) == y).numpy().mean())


def test_every_net_starts_from_the_same_weights():
    first, second = (robustness.make_model() for _ in range(2))
    assert sum(p.numel() for p in first.parameters()) == 13_706
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert np.array_equal(a.numpy(force=True), b.numpy(force=True))


def test_each_method_gets_the_radius():
    made = robustness.methods(0.07)
    assert list(made) == NAMES
    model = robustness.make_model()
    optimizer = tc.optim.SGD(model.parameters(), lr=0.1)
    assert type(made.pop("plain")(model, optimizer)) is tc.train.Trainer
    for make in made.values():
        trainer = make(model, optimizer)
        assert isinstance(trainer, adversarial.AdversarialTrainer)
        assert trainer.method.eps == 0.07


@pytest.fixture
def seen(monkeypatch):
    """Return the arguments of the calls of AutoAttack; a few steps of PGD stand in for both."""
    calls, pgd = [], adversarial.pgd

    def small_pgd(*batch, steps, restarts, **settings):
        assert (steps, restarts, settings["loss"]) == (50, 5, "margin")
        return pgd(*batch, steps=2, **settings)

    def small_auto(model, x, y, *, eps):
        calls.append((model, x, y, eps, share_right(model, x, y)))
        return pgd(model, x, y, eps=10.0, steps=2)  # stronger than the one beside it

    monkeypatch.setattr(robustness.adversarial, "pgd", small_pgd)
    monkeypatch.setattr(robustness.adversarial, "auto_attack", small_auto)
    with tc.config.max_steps.override(2):
        yield calls


def test_the_table_has_a_row_for_each_net(seen, capsys):
    robustness.main(["--count", "5", "--eps", "0.02", "--epochs", "1", "--markdown"])
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:4] == ["training", "clean", "PGD-50 x5", "AutoAttack"]
    assert lines[1] == "|---|---|---|---|---|---|"
    assert [row[0] for row in cells[2:]] == NAMES
    digits = tc.datasets.Digits(train=False)
    for (_, x, y, eps, clean), row in zip(seen, cells[2:], strict=True):
        assert np.array_equal(x.numpy(), digits.images[:5])
        assert y.tolist() == digits.targets[:5].tolist()
        assert eps == 0.02
        assert row[1] == f"{clean:.1%}"
        assert float(row[1][:-1]) >= float(row[2][:-1]) >= float(row[3][:-1]) >= 0
    weights = [model[0].weight.numpy(force=True) for model, *_ in seen]
    assert not any(np.array_equal(weights[0], other) for other in weights[1:])


def test_without_markdown_there_are_no_bars(seen, capsys, monkeypatch):
    monkeypatch.setattr(robustness, "methods", lambda eps: {"plain": tc.train.Trainer})
    robustness.main(["--count", "3", "--epochs", "1"])
    text = capsys.readouterr().out
    assert "|" not in text
    assert [line.split()[0] for line in text.splitlines()] == ["training", "plain"]
    assert seen[0][3] == 0.15
