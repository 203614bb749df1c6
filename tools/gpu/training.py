"""Steps of training on a GPU: replays of a graph against line by line, and memory that comes back.

A replay has to give the bits of the step, over a schedule of learning rates, with dropout.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinyconv as tc
from tinyconv import nn

from .rows import Budget, Row, each

#: Steps that are compared, and line by line before the recording.
STEPS, WARMUP = 10, 3


class Trial:
    """A model with its optimizer, schedule and batches; the same each time it is made.

    Parameters
    ----------
    build : callable
        Returns the model.
    shape : tuple of int
        Shape of a batch of images.
    optimizer : callable
        Takes the parameters.
    """

    def __init__(
        self, build: Callable[[], nn.Module], shape: tuple[int, ...], optimizer: Callable[..., Any]
    ) -> None:
        tc.manual_seed(3)
        self.model = build()
        self.optimizer = optimizer(self.model.parameters())
        self.scheduler = tc.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.8)
        generator = np.random.default_rng(0)
        self.batches = [
            (
                tc.as_tensor(generator.standard_normal(shape).astype("float32")),
                tc.as_tensor(generator.integers(0, 10, shape[0])),
            )
            for _ in range(STEPS)
        ]
        self.calls = 0

    def step(self, x: Any, y: Any) -> Any:
        """Do one step of training; return the loss."""
        self.calls += 1
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, step: Callable[..., Any]) -> dict[str, np.ndarray]:
        """Train; return losses, weights, buffers and the state of random numbers."""
        tc.manual_seed(5)
        found = {}
        for number, batch in enumerate(self.batches):
            found[f"result of step {number}"] = step(*batch).detach().numpy(force=True).copy()
            self.scheduler.step()
        state = self.model.state_dict().items()
        found |= {name: value.numpy(force=True).copy() for name, value in state}
        return found | {"random state": np.array(tc.get_rng_state())}


def convnet() -> nn.Module:
    """Return a small network with batch norm, both kinds of pools, and dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 40, 3, stride=2, padding=1), nn.GELU(), nn.Dropout(0.25),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 10),
    )  # fmt: skip


TRIALS: dict[str, Callable[[], Any]] = {
    "convnet, SGD": lambda: Trial(
        convnet, (32, 3, 16, 16), lambda p: tc.optim.SGD(p, lr=0.05, momentum=0.9)
    ),
    "convnet, Adam": lambda: Trial(convnet, (32, 3, 16, 16), lambda p: tc.optim.Adam(p, lr=1e-3)),
    "LeNet-5, SGD": lambda: Trial(
        tc.models.LeNet5, (64, 1, 28, 28), lambda p: tc.optim.SGD(p, lr=0.05, momentum=0.9)
    ),
}


def replay(make: Callable[[], Any]) -> dict[str, Any]:
    """Compare a recorded step with the same step line by line; raise unless all bits are equal."""
    plain, recorded = make(), make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # which says that a step cannot be recorded
        results = recorded.run(tc.graphed(recorded.step, warmup=WARMUP))
    if recorded.calls != WARMUP + 1:
        raise AssertionError(f"Python ran {recorded.calls} steps of {STEPS}, so none was replayed")
    expected = plain.run(plain.step)
    different = [name for name in expected if not np.array_equal(expected[name], results[name])]
    if different:
        raise AssertionError(f"replays differ from line by line in {', '.join(different[:6])}")
    return {"steps": STEPS, "replayed": STEPS - WARMUP}


def graphs(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield a row for each model whose recorded step is compared."""
    chosen = [(name, make) for name, make in TRIALS.items() if only in name]
    with tc.device(device):
        yield from each("graphs", budget, ((n, lambda m=m: replay(m)) for n, m in chosen))


# -- memory -------------------------------------------------------------------------------------

#: Bytes that an allocation asks for beyond the planted limit, at least.
BEYOND = 64 << 20


def memory(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield rows for memory that steps give back, and for what is said when there is none."""
    pieces = [
        ("steps give back what they take", steady),
        ("recorded steps give back what they take", lambda: steady(recorded=True)),
        ("out of memory says what, how much and where", exhausted),
    ]
    with tc.device(device):
        yield from each("memory", budget, (piece for piece in pieces if only in piece[0]))


def used() -> int:
    """Return the bytes in use, without garbage in cycles."""
    tc.cuda.synchronize()
    return tc.cuda.memory_allocated()


def steady(recorded: bool = False) -> dict[str, Any]:
    """Raise if bytes in use grow with steps, or stay when a model is gone."""
    gc.collect()
    start = used()
    trial = TRIALS["convnet, SGD"]()
    step = tc.graphed(trial.step, warmup=WARMUP) if recorded else trial.step
    for batch in trial.batches[: WARMUP + 2]:
        step(*batch)
    settled = used()
    for batch in trial.batches * 3:
        step(*batch)
    grown = used() - settled
    del trial, step, batch
    if recorded:
        gc.collect()  # a recording knows its step, and the step its trial
    left = used() - start
    if grown or left > 0:
        raise AssertionError(f"{grown} bytes more after 30 steps, {left} when the model is gone")
    return {"MB while training": round((settled - start) / 1e6, 2)}


@contextlib.contextmanager
def limited(more: int) -> Iterator[None]:
    """Let the pool take only so many bytes more."""
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.get_limit()
    pool.set_limit(size=pool.total_bytes() + more)
    try:
        yield
    finally:
        pool.set_limit(size=before)


def exhausted() -> dict[str, Any]:
    """Raise unless an op without memory says which it is, and works again afterwards."""
    x = tc.ones(BEYOND // 4)
    with limited(BEYOND // 2):
        try:
            nn.functional.gelu(x)
        except tc.cuda.OutOfMemoryError as error:
            words = str(error)
        else:
            raise AssertionError("an allocation beyond the limit was granted")
    missing = [part for part in ("elu: out of memory", str(x.device), "MiB") if part not in words]
    if missing:
        raise AssertionError(f"the message lacks {missing}: {words[:300]}")
    nn.functional.gelu(x)
    return {"message": words.splitlines()[0]}
