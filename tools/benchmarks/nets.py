"""The networks that are timed, each written once for every library with PyTorch's names.

A builder takes the library itself (``tinyconv`` or ``torch``) and returns a module of it, so that
both sides run the same code. Networks without branches are lists of layers (``PLAIN``), which
libraries with names of their own can read too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Net:
    """A network with its input.

    Parameters
    ----------
    name : str
        Name in the tables.
    build : callable
        Takes a library, returns the module.
    images : tuple of int
        Shape of a batch: images, channels, height, width.
    classes : int, default 10
        Size of the output.
    dense : bool, default False
        Whether every pixel has a label of its own.
    quick : bool, default False
        Whether ``--quick`` takes it.
    """

    name: str
    build: Callable[[Any], Any]
    images: tuple[int, int, int, int]
    classes: int = 10
    dense: bool = False
    quick: bool = False

    @property
    def labels(self) -> tuple[int, ...]:
        """Shape of the labels of a batch."""
        return (self.images[0], *self.images[2:]) if self.dense else self.images[:1]


# -- without branches ---------------------------------------------------------------------------

# ("conv", in, out, kernel, padding), ("linear", in, out), ("dropout", p), ("relu", in place)
_POOL, _FLATTEN, _RELU = ("pool",), ("flatten",), ("relu", False)


def _vgg(plan: list[int | None]) -> list[tuple[Any, ...]]:
    """Return 3 x 3 convolutions with ReLU, and a pool where the plan has ``None``."""
    layers: list[tuple[Any, ...]] = []
    channels = 3
    for width in plan:
        if width is None:
            layers.append(_POOL)
        else:
            layers += [("conv", channels, width, 3, 1), ("relu", True)]
            channels = width
    return [*layers, _FLATTEN, ("linear", channels, 10)]


PLAIN: dict[str, list[tuple[Any, ...]]] = {
    # LeCun et al., 1998, as in tinyconv.models.LeNet5
    "LeNet-5": [
        ("conv", 1, 6, 5, 2), _RELU, _POOL, ("conv", 6, 16, 5, 0), _RELU, _POOL, _FLATTEN,
        ("linear", 400, 120), _RELU, ("linear", 120, 84), _RELU, ("linear", 84, 10),
    ],
    # tinyconv.models.CNN
    "MNIST CNN": [
        ("conv", 1, 32, 3, 1), _RELU, _POOL, ("conv", 32, 64, 3, 1), _RELU, _POOL, _FLATTEN,
        ("linear", 3136, 64), _RELU, ("dropout", 0.25), ("linear", 64, 10),
    ],
    # Simonyan and Zisserman, 2014, configuration A with one linear layer, for 32 x 32 pixels
    "VGG-11": _vgg(
        [64, None, 128, None, 256, 256, None, 512, 512, None, 512, 512, None]
    ),
}  # fmt: skip


def plain(lib: Any, layers: list[tuple[Any, ...]]) -> Any:
    """Return a ``Sequential`` of a list of layers."""
    nn = lib.nn
    make = {
        "conv": lambda i, o, kernel, padding: nn.Conv2d(i, o, kernel, padding=padding),
        "linear": nn.Linear,
        "relu": lambda inplace: nn.ReLU(inplace=inplace),
        "pool": lambda: nn.MaxPool2d(2),
        "flatten": nn.Flatten,
        "dropout": nn.Dropout,
    }
    return nn.Sequential(*[make[kind](*arguments) for kind, *arguments in layers])


# -- residual -----------------------------------------------------------------------------------


def _conv_norm(lib: Any, i: int, o: int, kernel: int, relu: str = "ReLU", **options: Any) -> list:
    """Return convolution, batch norm and activation, the brick of most networks below."""
    nn = lib.nn
    layers = [
        nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False, **options),
        nn.BatchNorm2d(o),
    ]
    return [*layers, getattr(nn, relu)(inplace=True)] if relu else layers


def _residual(lib: Any, branch: list, shortcut: list) -> Any:
    """Return ``relu(branch(x) + shortcut(x))``."""
    nn = lib.nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Sequential(*branch)
            self.shortcut = nn.Sequential(*shortcut)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            return self.relu(self.branch(x) + self.shortcut(x))

    return Residual()


def resnet18(lib: Any) -> Any:
    """ResNet-18 for 32 x 32 pixels: a 3 x 3 stem, no first pool (He et al., 2016)."""
    nn = lib.nn
    layers, channels = _conv_norm(lib, 3, 64, 3), 64
    for width, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
                          (512, 1)]:  # fmt: skip
        branch = _conv_norm(lib, channels, width, 3, stride=stride)
        branch += _conv_norm(lib, width, width, 3, relu="")
        same = stride == 1 and channels == width
        shortcut = [] if same else _conv_norm(lib, channels, width, 1, relu="", stride=stride)
        layers.append(_residual(lib, branch, shortcut))
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def resnet50(lib: Any) -> Any:
    """ResNet-50 with the stride in the 3 x 3 convolution, as in torchvision."""
    nn = lib.nn
    layers = [*_conv_norm(lib, 3, 64, 7, stride=2), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for stage, (width, count) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for number in range(count):
            stride = 2 if stage and not number else 1
            branch = _conv_norm(lib, channels, width, 1)
            branch += _conv_norm(lib, width, width, 3, stride=stride)
            branch += _conv_norm(lib, width, 4 * width, 1, relu="")
            shortcut = [] if number else _conv_norm(
                lib, channels, 4 * width, 1, relu="", stride=stride
            )  # fmt: skip
            layers.append(_residual(lib, branch, shortcut))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def mobilenet_v2(lib: Any) -> Any:
    """MobileNetV2: inverted residuals around depthwise convolutions (Sandler et al., 2018)."""
    nn = lib.nn

    class InvertedResidual(nn.Module):
        def __init__(self, i: int, o: int, stride: int, expand: int) -> None:
            super().__init__()
            wide = i * expand
            layers = _conv_norm(lib, i, wide, 1, "ReLU6") if expand > 1 else []
            layers += _conv_norm(lib, wide, wide, 3, "ReLU6", stride=stride, groups=wide)
            self.branch = nn.Sequential(*layers, *_conv_norm(lib, wide, o, 1, ""))
            self.skip = stride == 1 and i == o

        def forward(self, x: Any) -> Any:
            return x + self.branch(x) if self.skip else self.branch(x)

    layers, channels = _conv_norm(lib, 3, 32, 3, "ReLU6", stride=2), 32
    for expand, width, count, stride in [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]:  # fmt: skip
        for number in range(count):
            layers.append(InvertedResidual(channels, width, 1 if number else stride, expand))
            channels = width
    layers += [*_conv_norm(lib, 320, 1280, 1, "ReLU6"), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(1280, 1000))


# -- joined along the channels ------------------------------------------------------------------


def densenet(lib: Any) -> Any:
    """DenseNet-BC-100-12: each layer sees the outputs of all before it (Huang et al., 2017)."""
    nn, growth = lib.nn, 12

    def norm_relu_conv(i: int, o: int, kernel: int) -> list:
        conv = nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False)
        return [nn.BatchNorm2d(i), nn.ReLU(inplace=True), conv]

    class Dense(nn.Module):
        def __init__(self, i: int) -> None:
            super().__init__()
            bottleneck = norm_relu_conv(i, 4 * growth, 1)
            self.branch = nn.Sequential(*bottleneck, *norm_relu_conv(4 * growth, growth, 3))

        def forward(self, x: Any) -> Any:
            return lib.cat([x, self.branch(x)], 1)

    channels = 2 * growth
    layers = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for block in range(3):
        for _ in range(16):
            layers.append(Dense(channels))
            channels += growth
        if block < 2:
            layers += [*norm_relu_conv(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
    layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 10))


def googlenet(lib: Any) -> Any:
    """GoogLeNet's nine inception blocks with batch norm, for 32 x 32 pixels."""
    nn = lib.nn

    class Inception(nn.Module):
        def __init__(self, i: int, a: int, b0: int, b: int, c0: int, c: int, d: int) -> None:
            super().__init__()
            self.one = nn.Sequential(*_conv_norm(lib, i, a, 1))
            self.three = nn.Sequential(*_conv_norm(lib, i, b0, 1), *_conv_norm(lib, b0, b, 3))
            self.five = nn.Sequential(*_conv_norm(lib, i, c0, 1), *_conv_norm(lib, c0, c, 5))
            pool = nn.MaxPool2d(3, 1, padding=1)
            self.pooled = nn.Sequential(pool, *_conv_norm(lib, i, d, 1))

        def forward(self, x: Any) -> Any:
            return lib.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)

    return nn.Sequential(
        *_conv_norm(lib, 3, 192, 3),
        Inception(192, 64, 96, 128, 16, 32, 32),
        Inception(256, 128, 128, 192, 32, 96, 64),
        nn.MaxPool2d(3, 2, padding=1),
        Inception(480, 192, 96, 208, 16, 48, 64),
        Inception(512, 160, 112, 224, 24, 64, 64),
        Inception(512, 128, 128, 256, 24, 64, 64),
        Inception(512, 112, 144, 288, 32, 64, 64),
        Inception(528, 256, 160, 320, 32, 128, 128),
        nn.MaxPool2d(3, 2, padding=1),
        Inception(832, 256, 160, 320, 32, 128, 128),
        Inception(832, 384, 192, 384, 48, 128, 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1024, 10),
    )


def unet(lib: Any, base: int = 32, classes: int = 10) -> Any:
    """U-Net with four levels, padded convolutions and batch norm (Ronneberger et al., 2015)."""
    nn = lib.nn

    def double(i: int, o: int) -> Any:
        return nn.Sequential(*_conv_norm(lib, i, o, 3), *_conv_norm(lib, o, o, 3))

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [base * 2**level for level in range(5)]
            pairs = list(pairwise(widths))
            self.first, self.pool = double(3, base), nn.MaxPool2d(2)
            self.down = nn.ModuleList([double(i, o) for i, o in pairs])
            self.up = nn.ModuleList([nn.ConvTranspose2d(o, i, 2, stride=2) for i, o in pairs])
            self.merge = nn.ModuleList([double(o, i) for i, o in pairs])
            self.last = nn.Conv2d(base, classes, 1)

        def forward(self, x: Any) -> Any:
            levels = [self.first(x)]
            for down in self.down:
                levels.append(down(self.pool(levels[-1])))
            x = levels.pop()
            for up, merge in zip(list(self.up)[::-1], list(self.merge)[::-1], strict=True):
                x = merge(lib.cat([levels.pop(), up(x)], 1))
            return self.last(x)

    return UNet()


NETS = [
    Net("LeNet-5", partial(plain, layers=PLAIN["LeNet-5"]), (64, 1, 28, 28), quick=True),
    Net("MNIST CNN", partial(plain, layers=PLAIN["MNIST CNN"]), (64, 1, 28, 28), quick=True),
    Net("VGG-11", partial(plain, layers=PLAIN["VGG-11"]), (32, 3, 32, 32), quick=True),
    Net("ResNet-18", resnet18, (32, 3, 32, 32), quick=True),
    Net("DenseNet-BC-100-12", densenet, (32, 3, 32, 32)),
    Net("GoogLeNet", googlenet, (32, 3, 32, 32)),
    Net("ResNet-50", resnet50, (4, 3, 224, 224), classes=1000),
    Net("MobileNetV2", mobilenet_v2, (8, 3, 128, 128), classes=1000),
    Net("U-Net", unet, (2, 3, 128, 128), dense=True),
]
