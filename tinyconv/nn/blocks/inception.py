"""Inception cells: convolutions of several sizes side by side, and their results joined."""

from __future__ import annotations

from typing import Any

from ...ops import cat
from .._arguments import choice, positive
from ..activation import ReLU
from ..batchnorm import BatchNorm2d
from ..containers import ModuleList, Sequential
from ..module import Module
from ..pooling import MaxPool2d
from .conv_norm import Activation, Norm, conv_norm


class InceptionCell(Module):
    """Four branches over the same input, joined along the channels.

    .. code-block:: text

             +-- 1x1 ------------------------+
             |                               |
        x ---+-- [1x1 reduce] -- 3x3 --------+--- cat --> y
             |                               |
             +-- [1x1 reduce] -- 5x5 --------+
             |                               |
             +-- max pool 3x3 -- [1x1] ------+

    The naive cell has no 1x1 convolution in brackets. With them, the "bottlenecks" of GoogLeNet,
    the large kernels see fewer channels. Factorised cells replace large kernels by small ones:

    .. code-block:: text

        "stacked"      5x5 -> 3x3, 3x3                          (Inception V2/V3, first cells)
        "asymmetric"   3x3 -> 1xn, nx1;  5x5 -> 1xn, nx1 twice  (V3, middle cells, n = 7)

    The guide has a picture with the shape at each arrow: :ref:`block-inception`.

    Parameters
    ----------
    in_channels : int
        Channels of the input (N, C, H, W).
    out_1x1, out_3x3, out_5x5 : int
        Channels of the first three branches.
    out_pool : int, optional
        Channels of the pool's 1x1 convolution; without it, those of the input go through.
    reduce_3x3, reduce_5x5 : int, optional
        Channels of the 1x1 convolutions before the large kernels; without them there are none.
    factorized : str, optional
        ``"stacked"`` or ``"asymmetric"``.
    n : int, default 7
        Length of the asymmetric kernels, an odd number.
    norm : callable or None, default nn.BatchNorm2d
        Makes a normalisation from a number of channels; GoogLeNet had none (``norm=None``).
    activation : callable, default nn.ReLU
        Makes the activation after each convolution.

    Attributes
    ----------
    out_channels : int
        Channels of the output.
    branches : ModuleList
        The four branches, in the order in which they are joined.

    Raises
    ------
    ArgumentError
        If a number of channels is below 1, ``factorized`` unknown, or ``n`` even.

    References
    ----------
    Szegedy et al., "Going deeper with convolutions", 2014, arXiv:1409.4842, and "Rethinking the
    Inception architecture for computer vision", 2015, arXiv:1512.00567.

    Examples
    --------
    >>> import tinyconv as tc
    >>> cell = tc.nn.InceptionCell(192, 64, 128, 32, 32, reduce_3x3=96, reduce_5x5=16)
    >>> cell(tc.zeros(1, 192, 8, 8)).shape
    tinyconv.Size([1, 256, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_1x1: int,
        out_3x3: int,
        out_5x5: int,
        out_pool: int | None = None,
        *,
        reduce_3x3: int | None = None,
        reduce_5x5: int | None = None,
        factorized: str | None = None,
        n: int = 7,
        norm: Norm | None = BatchNorm2d,
        activation: Activation = ReLU,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_1x1", out_1x1),
                            ("out_3x3", out_3x3), ("out_5x5", out_5x5), ("out_pool", out_pool),
                            ("reduce_3x3", reduce_3x3), ("reduce_5x5", reduce_5x5)):  # fmt: skip
            if value is not None or name.startswith(("in", "out_1", "out_3", "out_5")):
                positive("InceptionCell", name, value)
        choice("InceptionCell", "factorized", factorized, (None, "stacked", "asymmetric"))
        choice("InceptionCell", "n", n, tuple(range(3, 16, 2)))
        small: list[Any] = [3]
        large: list[Any] = [5]
        if factorized == "stacked":
            large = [3, 3]
        elif factorized == "asymmetric":
            small, large = [(1, n), (n, 1)], [(1, n), (n, 1)] * 2

        def branch(reduced: int | None, outputs: int, kernels: list[Any]) -> Sequential:
            layers, channels = [], in_channels
            if reduced is not None:
                layers += conv_norm(channels, reduced, 1, norm, activation)
                channels = reduced
            for number, kernel in enumerate(kernels):
                last = number == len(kernels) - 1
                # Between factors the width is that of the bottleneck, if there is one.
                width = outputs if last or reduced is None else reduced
                layers += conv_norm(channels, width, kernel, norm, activation)
                channels = width
            return Sequential(*layers)

        pool: list[Module] = [MaxPool2d(3, 1, 1)]
        if out_pool is not None:
            pool += conv_norm(in_channels, out_pool, 1, norm, activation)
        self.branches = ModuleList([
            branch(None, out_1x1, [1]), branch(reduce_3x3, out_3x3, small),
            branch(reduce_5x5, out_5x5, large), Sequential(*pool),
        ])  # fmt: skip
        self.out_channels = out_1x1 + out_3x3 + out_5x5 + (out_pool or in_channels)

    def forward(self, input: Any) -> Any:
        """Return (N, out_channels, H, W)."""
        return cat([branch(input) for branch in self.branches], 1)
