"""The layers that are timed alone, and the optimizer steps.

A layer is a builder that takes the library (``tinyconv`` or ``torch``) and returns a module or a
function of tensors, and the shapes of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .nets import resnet18


@dataclass(frozen=True)
class Layer:
    """A layer with its inputs.

    Parameters
    ----------
    name : str
        Name in the tables.
    build : callable
        Takes a library, returns a module or a function.
    inputs : tuple of shapes
        Shapes of the inputs.
    first : bool, default False
        Whether it is the first layer of a network: its input is a batch of images as a loader
        gives them (NCHW), and nobody asks for their gradient.
    classes : int, default 0
        If not 0, the last input is labels below this number.
    random : bool, default False
        Whether results are random, so that the two libraries need not agree.
    quick : bool, default False
        Whether ``--quick`` takes it.
    note : str, default ""
        Why it is slower than the rival, where it is. Shown only then.
    """

    name: str
    build: Callable[[Any], Any]
    inputs: tuple[tuple[int, ...], ...]
    first: bool = False
    classes: int = 0
    random: bool = False
    quick: bool = False
    note: str = ""


def _conv(
    what: str, shape: tuple[int, ...], out: int, kernel: int, *, bias: bool = False,
    kind: str = "Conv", first: bool = False, quick: bool = False, note: str = "", **options: Any,
) -> Layer:  # fmt: skip
    """Return a convolution. ``shape`` is its input's; most have no bias, as before batch norm."""
    batch, channels, *size = shape
    build = lambda lib: getattr(lib.nn, f"{kind}{len(size)}d")(  # noqa: E731
        channels, out, kernel, bias=bias, **options
    )
    sizes = "x".join(map(str, size))
    name = f"{what}, {channels}->{out}, {sizes}, b{batch}"
    return Layer(name, build, (shape,), first=first, quick=quick, note=note)


def _same(name: str, cls: str, *arguments: Any, shape: tuple[int, ...], **options: Any) -> Layer:
    """Return a layer that is one class of ``nn`` without a choice."""
    sizes = "x".join(map(str, shape))
    build = lambda lib: getattr(lib.nn, cls)(*arguments)  # noqa: E731
    return Layer(f"{name}, {sizes}", build, (shape,), **options)


def _norm_relu(lib: Any) -> Any:
    return lib.nn.Sequential(lib.nn.BatchNorm2d(64), lib.nn.ReLU(inplace=True))


_MAP = (32, 64, 32, 32)  # 8 MB, a feature map of the first stage of a CIFAR network

LAYERS = [
    # -- 3 x 3, the bulk of the work
    _conv("conv 3x3", (8, 64, 56, 56), 64, 3, padding=1, quick=True),
    _conv("conv 3x3", (8, 128, 28, 28), 128, 3, padding=1),
    _conv("conv 3x3", (8, 256, 14, 14), 256, 3, padding=1, quick=True),
    _conv("conv 3x3", (8, 512, 7, 7), 512, 3, padding=1, quick=True),
    _conv("conv 3x3", (32, 64, 32, 32), 64, 3, padding=1),
    _conv("conv 3x3", (1, 64, 56, 56), 64, 3, padding=1),
    _conv("conv 3x3", (1, 512, 7, 7), 512, 3, padding=1),
    _conv("conv 3x3", (512, 32, 8, 8), 32, 3, padding=1),
    _conv("conv 3x3", (512, 16, 14, 14), 32, 3, padding=1),
    _conv("conv 3x3", (16, 17, 28, 28), 35, 3, padding=1),
    _conv("conv 3x3", (16, 35, 28, 28), 70, 3, padding=1),
    _conv("conv 3x3 stride 2", (8, 64, 56, 56), 128, 3, padding=1, stride=2),
    _conv("conv 3x3 stride 2", (8, 256, 14, 14), 512, 3, padding=1, stride=2),
    _conv("conv 3x3 dilated 2", (8, 64, 28, 28), 64, 3, padding=2, dilation=2),
    # -- first layers
    _conv("first conv 3x3", (32, 3, 32, 32), 64, 3, padding=1, bias=True, first=True),
    _conv("first conv 5x5", (64, 1, 28, 28), 6, 5, padding=2, bias=True, first=True, quick=True),
    _conv("stem 7x7 stride 2", (4, 3, 224, 224), 64, 7, padding=3, stride=2, first=True,
          quick=True),
    # -- other kernels
    _conv("conv 1x1", (4, 256, 56, 56), 64, 1, quick=True),
    _conv("conv 1x1", (4, 64, 56, 56), 256, 1),
    _conv("conv 1x1", (4, 512, 28, 28), 128, 1),
    _conv("conv 1x1 stride 2", (4, 256, 56, 56), 512, 1, stride=2),
    _conv("conv 5x5", (32, 32, 14, 14), 64, 5, padding=2),
    _conv("conv 5x5", (64, 6, 14, 14), 16, 5, bias=True),
    # -- groups
    _conv("depthwise 3x3", (8, 144, 32, 32), 144, 3, padding=1, groups=144, quick=True),
    _conv("depthwise 3x3", (8, 384, 8, 8), 384, 3, padding=1, groups=384),
    _conv("depthwise 3x3 stride 2", (8, 144, 32, 32), 144, 3, padding=1, stride=2, groups=144),
    _conv("32 groups 3x3", (4, 128, 56, 56), 128, 3, padding=1, groups=32),
    # -- transposed, one and three dimensions
    _conv("transposed 2x2 stride 2", (2, 64, 64, 64), 32, 2, kind="ConvTranspose", stride=2,
          bias=True),
    _conv("transposed 4x4 stride 2", (8, 128, 16, 16), 64, 4, kind="ConvTranspose", stride=2,
          padding=1),
    _conv("conv 3", (16, 64, 1024), 64, 3, padding=1),
    _conv("conv 3x3x3", (2, 16, 16, 32, 32), 32, 3, padding=1),
    # -- linear
    _same("linear 784->128", "Linear", 784, 128, shape=(64, 784)),
    _same("linear 512->1000", "Linear", 512, 1000, shape=(32, 512)),
    _same("linear 1024->1024", "Linear", 1024, 1024, shape=(512, 1024)),
    # -- pooling
    _same("max pool 2x2", "MaxPool2d", 2, shape=_MAP, quick=True),
    _same("max pool 3x3 stride 2", "MaxPool2d", 3, 2, 1, shape=(4, 64, 112, 112)),
    _same("average pool 2x2", "AvgPool2d", 2, shape=_MAP),
    _same("global average pool", "AdaptiveAvgPool2d", 1, shape=(32, 512, 8, 8)),
    # -- normalisation
    _same("batch norm", "BatchNorm2d", 64, shape=_MAP, quick=True),
    _same("batch norm", "BatchNorm2d", 512, shape=(8, 512, 7, 7)),
    Layer("batch norm + ReLU, 32x64x32x32", _norm_relu, (_MAP,)),
    _same("layer norm 512", "LayerNorm", 512, shape=(2048, 512)),
    _same("group norm, 8 groups", "GroupNorm", 8, 64, shape=_MAP),
    # -- element by element
    _same("ReLU", "ReLU", shape=_MAP),
    _same("dropout 0.5", "Dropout", 0.5, shape=(64, 4096), random=True),
    Layer("add, 32x64x32x32", lambda lib: lambda a, b: a + b, (_MAP, _MAP)),
    Layer("cat of 4, 32x128x16x16", lambda lib: lambda *maps: lib.cat(maps, 1),
          ((32, 32, 16, 16),) * 4),
    Layer("upsample nearest 2, 8x64x16x16", lambda lib: lib.nn.Upsample(scale_factor=2),
          ((8, 64, 16, 16),)),
    # -- loss
    Layer("cross-entropy, 64x10", lambda lib: lib.nn.CrossEntropyLoss(), ((64, 10), (64,)),
          classes=10),
    Layer("cross-entropy, 256x1000", lambda lib: lib.nn.CrossEntropyLoss(),
          ((256, 1000), (256,)), classes=1000),
    Layer("cross-entropy of pixels, 2x10x128x128", lambda lib: lib.nn.CrossEntropyLoss(),
          ((2, 10, 128, 128), (2, 128, 128)), classes=10),
]  # fmt: skip


@dataclass(frozen=True)
class Update:
    """One step of an optimizer over the parameters of a network with given gradients.

    ``rival_options`` are for the rival only: PyTorch's default updates parameter by
    parameter, ``fused=True`` is its fastest.
    """

    name: str
    optimizer: str
    options: dict[str, Any]
    rival_options: dict[str, Any]
    net: Callable[[Any], Any] = resnet18
    quick: bool = False


_MOMENTUM: dict[str, Any] = {"lr": 1e-4, "momentum": 0.9}
UPDATES = [
    Update("SGD with momentum, ResNet-18", "SGD", _MOMENTUM, {}, quick=True),
    Update("SGD with momentum, ResNet-18, PyTorch fused", "SGD", _MOMENTUM, {"fused": True}),
    Update("Adam, ResNet-18", "Adam", {"lr": 1e-5}, {}),
    Update("Adam, ResNet-18, PyTorch fused", "Adam", {"lr": 1e-5}, {"fused": True}),
]
