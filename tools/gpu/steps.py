"""Steps of training to time: four networks, in the modes of this library and of PyTorch."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from benchmarks.nets import PLAIN, Net, plain, resnet18, resnet50, unet

from .layers import STAGE, tagged
from .rows import Budget, Row, each

NETS = (
    Net("LeNet-5", functools.partial(plain, layers=PLAIN["LeNet-5"]), (256, 1, 28, 28)),
    Net("ResNet-18", resnet18, (256, 3, 32, 32)),
    Net("ResNet-50", resnet50, (64, 3, 224, 224), classes=1000),
    Net("U-Net", functools.partial(unet, base=64), (8, 3, 256, 256), dense=True),
)
#: TFLOP of the convolutions of a step, and the least GB that a step moves, of 16-bit numbers:
#: convolutions read and write their images and weights, batch norm, ReLU and sums together take
#: one pass forward and two backward. float32 moves twice as much.
WORK = {
    "LeNet-5": (0.0006, 0.02),
    "ResNet-18": (0.852, 4.5),
    "ResNet-50": (1.555, 20.1),
    "U-Net": (2.310, 7.9),
}
#: Steps before times are taken, the most that are timed, and seconds for them.
WARMUP, MOST, SECONDS = 6, 30, 2.5


@dataclasses.dataclass(frozen=True)
class Mode:
    """How a step is run: in which precision, memory order and by what."""

    name: str
    precision: str
    channels_last: bool = True
    graph: bool = False
    compiled: bool = False


OURS = (
    Mode("graphed", "tf32", graph=True),
    Mode("eager", "tf32"),
    Mode("graphed", "bf16", graph=True),
    Mode("eager", "bf16"),
)
THEIRS = (
    Mode("channels_last", "bf16"),
    Mode("channels_last graph", "bf16", graph=True),
    Mode("channels_last", "tf32"),
    Mode("channels_last graph", "tf32", graph=True),
    Mode("NCHW", "tf32", channels_last=False),
)
COMPILED = (Mode("compiled", "bf16", compiled=True), Mode("compiled", "tf32", compiled=True))


def least(net: str, precision: str, machine: dict[str, Any]) -> float | None:
    """Return the seconds that a step's arithmetic or memory take at least."""
    peak, bandwidth = machine.get("peaks", {}).get(precision), machine.get("GB/s")
    if not (peak and bandwidth):
        return None
    tflop, gigabytes = WORK[net]
    return max(tflop / peak, gigabytes * (1 if precision == "bf16" else 2) / bandwidth)


def median_seconds(step: Callable[[], Any], event: Callable[[], Any]) -> dict[str, Any]:
    """Return the median time of a step, from one event to the next."""
    for _ in range(WARMUP):
        step()
    events = [event()]
    events[0].record()
    end = time.monotonic() + SECONDS
    while len(events) <= MOST and (len(events) < 4 or time.monotonic() < end):
        step()
        events.append(event())
        events[-1].record()
    events[-1].synchronize()
    times = [a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(events)]
    return {"seconds": statistics.median(times), "steps": len(times)}


def host_batch(net: Net, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels."""
    generator = np.random.default_rng(seed)
    images = generator.standard_normal(net.images, dtype=np.float32)
    return images, generator.integers(0, net.classes, net.labels)


def pieces(modes: tuple[Mode, ...], run: Callable[[Net, Mode], dict[str, Any]]) -> Iterator[Any]:
    """Yield what to time: every mode of every network."""
    for mode in modes:
        for net in NETS:
            name = f"{net.name} step {mode.precision} {mode.name}"
            yield name, lambda net=net, mode=mode: run(net, mode)


# -- this library -------------------------------------------------------------------------------


def ours(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield the times of steps of this library."""
    import tinyconv as tc

    modes = OURS
    if getattr(tc, "autocast", None) is None:
        modes = tuple(mode for mode in OURS if mode.precision != "bf16")
        yield Row(STAGE, "steps in bf16", "skipped", {"side": "tinyconv"}, "no tinyconv.autocast")
    found = pieces(modes, lambda net, mode: _ours(device, net, mode, seed))
    with tc.device(device):
        yield from tagged("tinyconv", each(STAGE, budget, (p for p in found if only in p[0])))


def _ours(device: str, net: Net, mode: Mode, seed: int) -> dict[str, Any]:
    import tinyconv as tc

    gc.collect()
    tc.cuda.empty_cache()
    tc.manual_seed(seed)
    model = net.build(tc).to(device)
    optimizer = tc.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    autocast = getattr(tc, "autocast", None)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        half = mode.precision == "bf16"
        with autocast(device, dtype=tc.bfloat16) if half else contextlib.nullcontext():
            loss = tc.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = (tc.as_tensor(array).to(device) for array in host_batch(net, seed))
    whole = tc.graphed(step) if mode.graph else step
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # which says that a step cannot be recorded
        return median_seconds(lambda: whole(x, y), lambda: tc.cuda.Event(enable_timing=True))


# -- PyTorch ------------------------------------------------------------------------------------


def theirs(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield the times of steps of PyTorch, line by line and as CUDA graphs."""
    yield from _side(THEIRS, budget, seed, only)


def compiled(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield the times of steps of PyTorch whose model ``torch.compile`` has compiled."""
    yield from _side(COMPILED, budget, seed, only)


def _side(modes: tuple[Mode, ...], budget: Budget, seed: int, only: str) -> Iterator[Row]:
    found = pieces(modes, lambda net, mode: _theirs(net, mode, seed))
    yield from tagged("torch", each(STAGE, budget, (p for p in found if only in p[0])))


def _theirs(net: Net, mode: Mode, seed: int) -> dict[str, Any]:
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    torch.manual_seed(seed)
    # The default of PyTorch where memory order is; else all that makes it fast.
    torch.backends.cudnn.benchmark = mode.channels_last
    form = torch.channels_last if mode.channels_last else torch.contiguous_format
    model = net.build(torch).cuda().to(memory_format=form)
    options = {"fused": True} if mode.channels_last else {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **options)
    x, y = (torch.from_numpy(array).cuda() for array in host_batch(net, seed))
    x = x.contiguous(memory_format=form)
    forward = torch.compile(model) if mode.compiled else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=mode.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()

    whole = _torch_graph(step) if mode.graph else step
    return median_seconds(whole, lambda: torch.cuda.Event(enable_timing=True))


def _torch_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Return the replay of a step, recorded as PyTorch's documentation has it."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
