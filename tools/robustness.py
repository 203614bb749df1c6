"""Clean and robust accuracy of nets trained in several ways, under PGD and AutoAttack.

    python tools/robustness.py [--eps 0.15] [--count 200] [--epochs 20] [--markdown]

A small CNN learns the embedded digits of 8 x 8 pixels, plainly and adversarially; each net is then
attacked by PGD (50 steps, 5 restarts, on the margin) and by AutoAttack (standard), in the linf
norm. Minutes on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial.evaluation.curves import errors


def make_model() -> nn.Module:
    """Return a CNN for images of 8 x 8 pixels, 14,000 weights."""
    tc.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def methods(eps: float) -> dict[str, Callable[[Any, Any], Any]]:
    """Return trainers by name, each made from a model and an optimizer."""

    def against(method: Any) -> Callable[[Any, Any], Any]:
        return lambda model, optimizer: adversarial.AdversarialTrainer(model, optimizer, method)

    return {
        "plain": tc.train.Trainer,
        "FGSM-RS": against(adversarial.FastTraining(eps)),
        "PGD-7": against(adversarial.PGDTraining(eps, steps=7)),
        "TRADES": against(adversarial.TradesTraining(eps, beta=6.0, steps=7)),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--eps", type=float, default=0.15)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    train, test = tc.datasets.Digits(train=True), tc.datasets.Digits(train=False)
    images, labels = tc.as_tensor(train.images), tc.as_tensor(train.targets)
    x = tc.as_tensor(test.images[: options.count])
    y = tc.as_tensor(test.targets[: options.count])
    held = tc.data.TensorDataset(images[-200:], labels[-200:])  # to choose the best epoch by
    rest = tc.data.TensorDataset(images[:-200], labels[:-200])
    names = ("training", "clean", "PGD-50 x5", "AutoAttack", "training s", "AutoAttack s")
    line = "| {:9} | {:>7} | {:>9} | {:>10} | {:>10} | {:>12} |"
    if not options.markdown:
        line = line.replace("|", " ")
    print(line.format(*names))
    if options.markdown:
        print("|---|---|---|---|---|---|")
    for name, trainer in methods(options.eps).items():
        model = make_model()
        start = time.perf_counter()
        trainer(model, tc.optim.Adam(model.parameters(), lr=5e-3)).fit(
            tc.data.DataLoader(rest, batch_size=64, shuffle=True),
            tc.data.DataLoader(held, batch_size=200),
            epochs=options.epochs,
        )
        trained = time.perf_counter() - start
        pgd = adversarial.pgd(
            model, x, y, eps=options.eps, steps=50, restarts=5, loss="margin"
        ).robust_accuracy
        start = time.perf_counter()
        auto = adversarial.auto_attack(model, x, y, eps=options.eps).robust_accuracy
        seconds = time.perf_counter() - start
        clean = 1 - errors(model, x, y).mean()
        print(
            line.format(
                name, f"{clean:.1%}", f"{pgd:.1%}", f"{auto:.1%}", f"{trained:.0f}",
                f"{seconds:.0f}",
            ),
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
