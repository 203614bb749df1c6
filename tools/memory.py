"""How much memory a training step takes, beside PyTorch.

``python tools/memory.py`` prints, for networks of several kinds, the peak of the process's memory
during training above what it had before its first step, for tinyconv and for PyTorch (the smaller
of its two memory formats); and how many page faults a step costs once all is warm.

Every figure comes from a process of its own. Linux only: it reads ``/proc``.

    peak      largest resident set during three steps, less the resident set before the first; so
              gradients and the optimizer's state count, the parameters and the batch do not
    python    the part of it in NumPy arrays and Python objects, by tracemalloc (``--traced``)
    faults    pages that the system had to map anew in a step (4 kB, or 2 MB with huge pages)
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 3
LIBRARIES = ("tinyconv", "torch", "torch channels_last")


# -- measuring ----------------------------------------------------------------------------------


def resident(field: str = "VmRSS") -> int:
    """Return the bytes of this process in memory now, or at their peak (``VmHWM``)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def peak_of(step: Callable[[], Any], steps: int = STEPS) -> int:
    """Return by how many bytes this process grows at most while ``step`` runs a few times.

    Measure in a fresh process: memory that was used before is used again and not seen. The code
    of a library that its first step loads would count too, so run something tiny before.
    """
    gc.collect()
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    for _ in range(steps):
        step()
    return resident("VmHWM") - before


def traced_peak_of(step: Callable[[], Any], steps: int = STEPS) -> int:
    """Return the peak of what NumPy and Python allocate during ``step``."""
    tracemalloc.start()
    for _ in range(steps):
        step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def faults_of(step: Callable[[], Any], steps: int = STEPS) -> tuple[float, float]:
    """Return page faults, and seconds spent in the system, of one warm step."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(steps):
        step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    faults, system = after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime
    return faults / steps, system / steps


# -- networks, for both libraries -----------------------------------------------------------------


def lenet5(nn: Any, lib: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mnist_cnn(nn: Any, lib: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def _normed(nn: Any, *conv: int) -> list[Any]:
    return [nn.Conv2d(*conv, bias=False), nn.BatchNorm2d(conv[1])]


def vgg11(nn: Any, lib: Any) -> Any:
    layers, channels = [], 3
    for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if width:
            layers += [*_normed(nn, channels, width, 3, 1, 1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def resnet18(nn: Any, lib: Any) -> Any:
    class Block(nn.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *_normed(nn, channels, width, 3, stride, 1), nn.ReLU(),
                *_normed(nn, width, width, 3, 1, 1),
            )  # fmt: skip
            same = stride == 1 and channels == width
            self.short = nn.Sequential(*([] if same else _normed(nn, channels, width, 1, stride)))
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.body(x) + self.short(x))

    layers, channels = [*_normed(nn, 3, 64, 3, 1, 1), nn.ReLU()], 64
    for width in (64, 128, 256, 512):
        for number in range(2):
            stride = 2 if number == 0 and width > 64 else 1
            layers.append(Block(channels, width, stride))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def unet(nn: Any, lib: Any) -> Any:
    def double(channels: int, width: int) -> Any:
        first, second = _normed(nn, channels, width, 3, 1, 1), _normed(nn, width, width, 3, 1, 1)
        return nn.Sequential(*first, nn.ReLU(), *second, nn.ReLU())

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (32, 64, 128, 256)
            self.down = nn.ModuleList([
                double(a, b) for a, b in zip((3, *widths), widths, strict=False)
            ])  # fmt: skip
            self.pool = nn.MaxPool2d(2)
            pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
            self.up = nn.ModuleList([nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs])
            self.join = nn.ModuleList([double(2 * b, b) for _, b in pairs])
            self.head = nn.Conv2d(32, 2, 1)

        def forward(self, x: Any) -> Any:
            skips = []
            for number, layer in enumerate(self.down):
                x = layer(self.pool(x) if number else x)
                skips.append(x)
            skips.pop()
            for up, join in zip(self.up, self.join, strict=True):
                x = join(lib.cat([skips.pop(), up(x)], 1))
            return self.head(x)

    return UNet()


#: Network, shape of the batch, number of classes.
NETWORKS: dict[str, tuple[Callable[..., Any], tuple[int, ...], int]] = {
    "LeNet-5": (lenet5, (64, 1, 28, 28), 10),
    "MNIST CNN": (mnist_cnn, (64, 1, 28, 28), 10),
    "VGG-11": (vgg11, (32, 3, 32, 32), 10),
    "ResNet-18": (resnet18, (32, 3, 32, 32), 10),
    "U-Net": (unet, (2, 3, 128, 128), 2),
}


def training_step(library: str, network: str, small: bool = False) -> Callable[[], Any]:
    """Return a function that runs one training step of ``network``, with SGD and momentum."""
    lib: Any
    if library == "tinyconv":
        sys.path.insert(0, str(Path(__file__).parent.parent))
        import tinyconv as lib
    else:
        import torch as lib
    make, shape, classes = NETWORKS[network]
    if small:
        shape = (2, shape[1], *(min(size, 32) for size in shape[2:]))
    generator = np.random.default_rng(0)
    per_pixel = network == "U-Net"
    numbers = generator.integers(0, classes, (shape[0], *shape[2:]) if per_pixel else shape[0])
    x = lib.from_numpy(generator.standard_normal(shape).astype(np.float32))
    target, net = lib.from_numpy(numbers), make(lib.nn, lib)
    if library.endswith("channels_last"):
        x = x.contiguous(memory_format=lib.channels_last)
        net = net.to(memory_format=lib.channels_last)
    optimizer = lib.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        lib.nn.functional.cross_entropy(net(x), target).backward()
        optimizer.step()

    return step


# -- the report ----------------------------------------------------------------------------------


def measure_here(library: str, network: str, traced: bool) -> dict[str, float]:
    """Measure in this process, which must be fresh."""
    training_step(library, network, small=True)()  # code is loaded, and compiled
    step = training_step(library, network)
    if traced:
        return {"python": traced_peak_of(step)}
    peak = peak_of(step)
    started = time.perf_counter()
    faults, system = faults_of(step)
    seconds = (time.perf_counter() - started) / STEPS
    return {"peak": peak, "faults": faults, "system": system, "seconds": seconds}


def measure(library: str, network: str, traced: bool = False) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--here", library, network, *["--traced"] * traced]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="network")
    parser.add_argument("--traced", action="store_true", help="tinyconv's arrays, by tracemalloc")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        library, network = arguments.networks
        print(json.dumps(measure_here(library, network, arguments.traced)))
        return
    for network in arguments.networks:
        if arguments.traced:
            print(f"{network:10} {measure('tinyconv', network, True)['python'] / 1e6:8.1f} MB")
            continue
        results = {library: measure(library, network) for library in LIBRARIES}
        best = min(results[library]["peak"] for library in LIBRARIES[1:])
        for library, result in results.items():
            print(
                f"{network:10} {library:20} peak {result['peak'] / 1e6:8.1f} MB"
                f" ({result['peak'] / best:4.2f} of PyTorch's)  faults {result['faults']:8.0f}"
                f"  system {result['system'] * 1e3:6.1f} ms of {result['seconds'] * 1e3:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
