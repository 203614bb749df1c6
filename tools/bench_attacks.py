"""Time of attacks: PGD with 40 steps on 1,000 digits, beside torchattacks and foolbox.

    python tools/bench_attacks.py [--rounds 5] [--steps 40] [--count 1000]

LeNet-5 is trained on digits first; the other libraries attack a PyTorch net with the same weights,
in PyTorch's default memory order and in channels_last, whichever is faster. The libraries take
turns in one process. Printed are medians in seconds, the ratio to tinyconv, and robust accuracy,
which tells whether the same was achieved. ``all steps`` goes on after a success, as torchattacks
does; without it, tinyconv drops a sample from the batch once it has fallen.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.nn import functional as F

EPS = 0.1


def trained_lenet() -> nn.Module:
    """Return LeNet-5, trained for a few epochs on digits of 28 x 28 pixels."""
    tc.manual_seed(0)
    model = tc.models.LeNet5()
    digits = tc.datasets.Digits(train=True, size=28)
    data = tc.data.TensorDataset(tc.as_tensor(digits.images), tc.as_tensor(digits.targets))
    optimizer = tc.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for x, y in tc.data.DataLoader(data, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


def torch_twin(model: nn.Module, channels_last: bool) -> Any:
    """Return LeNet-5 in PyTorch with the weights of ``model``."""
    import torch

    t = torch.nn
    twin = t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), t.ReLU(), t.MaxPool2d(2),
        t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2), t.Flatten(),
        t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10),
    )  # fmt: skip
    weights = [torch.tensor(p.numpy(force=True)) for p in model.parameters()]
    for parameter, weight in zip(twin.parameters(), weights, strict=True):
        parameter.data.copy_(weight)
    return twin.to(memory_format=torch.channels_last) if channels_last else twin.eval()


def rivals(model: nn.Module, x: Any, y: Any, steps: int) -> dict[str, Callable[[], float]]:
    """Return the attacks of other libraries that are installed: each gives robust accuracy."""
    found: dict[str, Callable[[], float]] = {}
    try:
        import torch
    except ImportError:
        return found
    size = 2.5 * EPS / steps
    for channels_last in (False, True):
        twin, order = torch_twin(model, channels_last), " channels_last" if channels_last else ""
        tx, ty = torch.tensor(x.numpy()), torch.tensor(y.numpy())
        if channels_last:
            tx = tx.contiguous(memory_format=torch.channels_last)

        def right(images: Any, twin: Any = twin, ty: Any = ty) -> float:
            with torch.no_grad():
                return (twin(images).argmax(1) == ty).float().mean().item()

        try:
            import torchattacks

            attack = torchattacks.PGD(twin, eps=EPS, alpha=size, steps=steps)
            found["torchattacks" + order] = lambda a=attack, r=right, tx=tx, ty=ty: r(a(tx, ty))
        except ImportError:
            pass
        try:
            import foolbox

            net = foolbox.PyTorchModel(twin, bounds=(0, 1), device="cpu")
            other = foolbox.attacks.LinfPGD(abs_stepsize=size, steps=steps)
            found["foolbox" + order] = lambda a=other, n=net, r=right, tx=tx, ty=ty: r(
                a(n, tx, ty, epsilons=EPS)[1]
            )
        except ImportError:
            pass
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args(arguments)
    model = trained_lenet()
    digits = tc.datasets.Digits(train=True, size=28)
    x = tc.as_tensor(digits.images[: options.count])
    y = tc.as_tensor(digits.targets[: options.count])
    runs: dict[str, Callable[[], float]] = {}
    for stop, label in (("never", "tinyconv, all steps"), ("success", "tinyconv")):
        runs[label] = lambda stop=stop: (
            adversarial.pgd(model, x, y, eps=EPS, steps=options.steps, stop=stop).robust_accuracy
        )
    runs |= rivals(model, x, y, options.steps)
    times: dict[str, list[float]] = {name: [] for name in runs}
    accuracy: dict[str, float] = {}
    for round_ in range(options.rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            accuracy[name] = run()
            if round_:  # the first round compiles and warms up
                times[name].append(time.perf_counter() - start)
    ours = statistics.median(times["tinyconv, all steps"])
    print(f"PGD-{options.steps}, {options.count} digits, LeNet-5, eps {EPS}")
    print(f"{'':28} {'median s':>8} {'ratio':>6} {'robust accuracy':>16}")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:28} {middle:8.2f} {middle / ours:6.2f} {accuracy[name]:16.1%}")


if __name__ == "__main__":
    main()
