"""Convolutions to time, what they cost at least, and the two sides that time them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from .rows import Budget, Row, each

STAGE = "timing"
#: TFLOP/s of dense arithmetic by a part of a GPU's name, of what kernels reach at best.
PEAKS = {
    "H100": {"bf16": 800.0, "tf32": 400.0, "fp32": 60.0},
    "H200": {"bf16": 800.0, "tf32": 400.0, "fp32": 60.0},
    "A100": {"bf16": 290.0, "tf32": 145.0, "fp32": 18.0},
}
DIRECTIONS = ("forward", "input", "weight")
PRECISIONS = ("bf16", "tf32")
#: Launches of one measurement, and measurements of which the median is taken.
LAUNCHES, ROUNDS = 10, 7
#: Numbers of 4 bytes that are copied to measure the bandwidth.
COPIED = 256 << 20


@dataclasses.dataclass(frozen=True)
class Layer:
    """A square convolution, padded to keep the size of images but for its stride."""

    batch: int
    channels: int
    outputs: int
    size: int
    kernel: int
    stride: int = 1

    @property
    def padding(self) -> int:
        """Zeros around an image."""
        return self.kernel // 2

    @property
    def out(self) -> int:
        """Height and width of the result."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def name(self) -> str:
        """What it is called in tables."""
        pair = f"{self.channels}->{self.outputs}"
        stride = f" /{self.stride}" if self.stride > 1 else ""
        return f"{self.kernel}x{self.kernel} {pair} {self.batch}x{self.size}x{self.size}{stride}"

    @property
    def flops(self) -> int:
        """Multiplications and additions, of each of the three directions."""
        taps = self.channels * self.kernel**2
        return 2 * self.batch * self.out**2 * self.outputs * taps

    def bytes(self, itemsize: int) -> int:
        """Bytes of both images and the weights: what has to be read or written at least."""
        images = self.batch * (self.channels * self.size**2 + self.outputs * self.out**2)
        return itemsize * (images + self.outputs * self.channels * self.kernel**2)

    def least(self, precision: str, machine: dict[str, Any]) -> float | None:
        """Return the seconds that arithmetic or memory take at least; ``None`` if unknown."""
        peak, bandwidth = machine.get("peaks", {}).get(precision), machine.get("GB/s")
        if not (peak and bandwidth):
            return None
        itemsize = 2 if precision == "bf16" else 4
        return max(self.flops / peak / 1e12, self.bytes(itemsize) / bandwidth / 1e9)


LAYERS = (
    Layer(64, 64, 64, 56, 3), Layer(64, 128, 128, 28, 3), Layer(64, 256, 256, 14, 3),
    Layer(64, 512, 512, 7, 3), Layer(256, 64, 64, 32, 3), Layer(8, 64, 64, 256, 3),
    Layer(64, 64, 256, 56, 1), Layer(64, 256, 64, 56, 1), Layer(64, 1024, 256, 14, 1),
    Layer(64, 3, 64, 224, 7, 2), Layer(64, 128, 128, 56, 3, 2), Layer(64, 256, 512, 56, 1, 2),
)  # fmt: skip


def pieces(make: Callable[[Layer, str], dict[str, Callable[[], float]]]) -> Iterator[Any]:
    """Yield what to time: ``make(layer, precision)`` gives a function for each direction."""
    for precision in PRECISIONS:
        for layer in LAYERS:
            made: dict[str, Callable[[], float]] = {}

            def time(direction: str, layer: Layer = layer, precision: str = precision,
                     made: dict[str, Any] = made) -> dict[str, Any]:  # fmt: skip
                if not made:
                    made.update(make(layer, precision))
                return {"seconds": made[direction]()}

            for direction in DIRECTIONS:
                if direction == "input" and layer.channels == 3:
                    continue  # nobody needs the gradient of the images
                name = f"{layer.name} {direction} {precision}"
                yield name, lambda d=direction, time=time: time(d)


def tagged(side: str, rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows that say whose they are."""
    for row in rows:
        row.figures["side"] = side
        yield row


# -- this library -------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Return the GPU's name, its bandwidth in a copy, and its peaks where they are known."""
    import cupy

    import tinyconv as tc

    source = cupy.ones(COPIED, cupy.float32)
    target = cupy.empty_like(source)
    seconds = recorded_seconds(lambda: cupy.copyto(target, source), launches=4)
    name = tc.cuda.get_device_name()
    return {
        "GPU": name,
        "GB/s": round(2 * source.nbytes / seconds / 1e9),
        "peaks": next((peaks for part, peaks in PEAKS.items() if part in name), {}),
        "CuPy": cupy.__version__,
        "driver": cupy.cuda.runtime.driverGetVersion(),
    }


def recorded_seconds(work: Callable[[], Any], launches: int = LAUNCHES) -> float:
    """Return the seconds of one piece of work, from replays of several: no Python in between."""
    import tinyconv as tc
    from tinyconv.backend.cuda.driver.launching import runner

    work()
    tc.cuda.synchronize()
    graph = runner().record(lambda: [work() for _ in range(launches)] and None)[1]
    return _median(graph.launch, lambda: tc.cuda.Event(enable_timing=True)) / launches


def _median(launch: Callable[[], Any], event: Callable[[], Any]) -> float:
    """Return the median seconds of launches, by events in the current stream."""
    launch()
    times = []
    for _ in range(ROUNDS):
        start, end = event(), event()
        start.record()
        launch()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def ours(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield the times of the kernels of this library, and what the machine can do."""
    import tinyconv as tc

    assert tc.device(device).backend  # brings what kernels run on
    yield from tagged("tinyconv", each(STAGE, budget, [("machine", machine)]))
    found = pieces(lambda layer, precision: _ours(device, layer, precision, seed))
    yield from tagged("tinyconv", each(STAGE, budget, (p for p in found if only in p[0])))


def _ours(device: str, layer: Layer, precision: str, seed: int) -> dict[str, Callable[[], float]]:
    import tinyconv as tc

    from .arrays import numpy_dtype

    backend = tc.device(device).backend
    dtype = numpy_dtype("bfloat16" if precision == "bf16" else "float32")
    tc.manual_seed(seed)

    def images(channels: int, size: int, count: int = layer.batch) -> Any:
        made = tc.randn(count, size, size, channels, device=device).array.astype(dtype)
        return backend.xp.permute_dims(made, (0, 3, 1, 2))

    x, w = images(layer.channels, layer.size), images(layer.channels, layer.kernel, layer.outputs)
    dy, pad = images(layer.outputs, layer.out), ((layer.padding,) * 2,) * 2
    rest = ((layer.stride,) * 2, pad, (1, 1), 1)
    calls = {
        "forward": lambda: backend.conv(x, w, None, *rest),
        "input": lambda: backend.conv_input_grad(dy, w, (layer.size,) * 2, *rest),
        "weight": lambda: backend.conv_weight_grad(x, dy, (layer.kernel,) * 2, *rest),
    }
    return {name: lambda call=call: recorded_seconds(call) for name, call in calls.items()}


# -- PyTorch ------------------------------------------------------------------------------------


def theirs(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield the times of PyTorch with cuDNN, channels-last, its fastest algorithms chosen."""
    import torch

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(seed)
    found = pieces(_theirs)
    yield from tagged("torch", each(STAGE, budget, (p for p in found if only in p[0])))


def _theirs(layer: Layer, precision: str) -> dict[str, Callable[[], float]]:
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def images(count: int, channels: int, size: int) -> Any:
        made = torch.randn(count, channels, size, size, device="cuda", dtype=dtype)
        return made.contiguous(memory_format=torch.channels_last)

    x = images(layer.batch, layer.channels, layer.size)
    w = images(layer.outputs, layer.channels, layer.kernel)
    dy = images(layer.batch, layer.outputs, layer.out)
    pair, pad = [layer.stride] * 2, [layer.padding] * 2

    def backward(mask: list[bool]) -> Any:
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, pair, pad, [1, 1], False, [0, 0], 1, mask
        )

    calls = {
        "forward": lambda: torch.nn.functional.conv2d(x, w, None, pair, pad),
        "input": lambda: backward([True, False, False]),
        "weight": lambda: backward([False, True, False]),
    }
    return {name: lambda call=call: _torch_seconds(call) for name, call in calls.items()}


def _torch_seconds(work: Callable[[], Any]) -> float:
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(LAUNCHES):
            work()
    return _median(graph.replay, lambda: torch.cuda.Event(enable_timing=True)) / LAUNCHES
