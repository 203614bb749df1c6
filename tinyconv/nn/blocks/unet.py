"""U-Net: a class for every pixel, from fine detail and wide view together."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ...ops import cat
from .._arguments import choice, positive
from ..activation import ReLU
from ..batchnorm import BatchNorm2d
from ..containers import ModuleList, Sequential
from ..conv import Conv2d
from ..conv_transpose import ConvTranspose2d
from ..dropout import Dropout2d
from ..module import Module
from ..pooling import MaxPool2d
from ..upsampling import Upsample
from .conv_norm import Activation, Norm, conv_norm


class UNet(Module):
    """An encoder that halves the size ``depth`` times, and a decoder that doubles it again.

    .. code-block:: text

        x -- two 3x3 ------------------------- skip ----------------------- two 3x3 -- 1x1 --> y
                 |                                                             |
               pool                                                           up
                 |                                                             |
                 +-- two 3x3 ------------------ skip ---------------- two 3x3 -+
                         |                                               |
                       pool -- ... -- two 3x3 at the bottom -- ... ---- up

    Channels double at each level down. The skip connections join (or add) what the encoder had at
    the same size, so that borders stay sharp. All convolutions keep the size, unlike the paper's.

    The guide has a picture with the shape at each arrow: :ref:`block-unet`.

    Parameters
    ----------
    in_channels : int
        Channels of the input (N, C, H, W); H and W are multiples of ``2**depth``.
    out_channels : int
        Channels of the output: one a class.
    depth : int, default 4
        How often the size is halved.
    base_width : int, default 64
        Channels at full size.
    up : str, default "transposed"
        ``"transposed"``: a transposed 2x2 convolution of stride 2 doubles the size; ``"bilinear"``:
        interpolation, then a 1x1 convolution, which leaves no checkerboard.
    skip : str, default "concat"
        How skip connections join: ``"concat"`` along the channels, or ``"add"``.
    dropout : float, default 0.0
        Probability of dropping a channel at the bottom.
    norm : callable or None, default nn.BatchNorm2d
        Makes a normalisation from a number of channels.
    activation : callable, default nn.ReLU
        Makes the activations.

    Raises
    ------
    ArgumentError
        If a size is below 1, or a choice unknown.
    ShapeError
        In ``forward``, if height or width is no multiple of ``2**depth``.

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image
    segmentation", 2015, arXiv:1505.04597.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.UNet(3, 2, depth=2, base_width=8)(tc.zeros(1, 3, 16, 12)).shape
    tinyconv.Size([1, 2, 16, 12])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int = 4,
        base_width: int = 64,
        up: str = "transposed",
        skip: str = "concat",
        dropout: float = 0.0,
        norm: Norm | None = BatchNorm2d,
        activation: Activation = ReLU,
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                            ("depth", depth), ("base_width", base_width)):  # fmt: skip
            positive("UNet", name, value)
        choice("UNet", "up", up, ("transposed", "bilinear"))
        choice("UNet", "skip", skip, ("concat", "add"))
        self.depth, self.skip = depth, skip

        def two(inputs: int, outputs: int) -> Sequential:
            return Sequential(*conv_norm(inputs, outputs, 3, norm, activation),
                              *conv_norm(outputs, outputs, 3, norm, activation))  # fmt: skip

        def twice_as_large(inputs: int, outputs: int) -> Module:
            if up == "transposed":
                return ConvTranspose2d(inputs, outputs, 2, 2)
            return Sequential(Upsample(scale_factor=2, mode="bilinear"), Conv2d(inputs, outputs, 1))

        widths = [base_width * 2**level for level in range(depth + 1)]
        joined = 2 if skip == "concat" else 1
        self.pool = MaxPool2d(2)
        self.down = ModuleList(
            two(inputs, outputs)
            for inputs, outputs in zip([in_channels, *widths], widths[:-1], strict=False)
        )
        self.bottom = two(widths[-2], widths[-1])
        self.dropout = Dropout2d(dropout)
        self.up = ModuleList(twice_as_large(2 * width, width) for width in widths[-2::-1])
        self.join = ModuleList(two(joined * width, width) for width in widths[-2::-1])
        self.head = Conv2d(base_width, out_channels, 1)

    def forward(self, input: Any) -> Any:
        """Return (N, out_channels, H, W), one score a class and pixel."""
        multiple, size = 2**self.depth, tuple(input.shape[-2:])
        if any(side % multiple for side in size):
            raise ShapeError(
                f"UNet: height and width must be multiples of {multiple} (depth={self.depth}), got "
                f"{size}; pad the input, or use fewer levels"
            )
        x, kept = input, []
        for convolve in self.down:
            x = convolve(x)
            kept.append(x)
            x = self.pool(x)
        x = self.dropout(self.bottom(x))
        for enlarge, convolve in zip(self.up, self.join, strict=True):
            x, same_size = enlarge(x), kept.pop()
            x = convolve(cat([same_size, x], 1) if self.skip == "concat" else same_size + x)
        return self.head(x)
