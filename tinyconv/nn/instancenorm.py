"""Instance normalisation layers."""

from __future__ import annotations

from typing import Any

from ..autograd import is_recomputing
from . import functional as F
from .batchnorm import NormWithStatistics


class _InstanceNorm(NormWithStatistics):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Any) -> Any:
        """Normalise each channel of each sample; the batch dimension may be missing."""
        self.check_dims(input)
        one = input.ndim == self.dims[0]
        output = F.instance_norm(
            input.unsqueeze(0) if one else input, self.running_mean, self.running_var,
            self.weight, self.bias, self.training or not self.track_running_stats,
            0.0 if is_recomputing() else self.momentum or 0.0, self.eps,
        )  # fmt: skip
        return output.squeeze(0) if one else output


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of signals (N, C, L), as :class:`InstanceNorm2d`."""

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each image (N, C, H, W) by its own mean and variance.

    Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization" (2016).

    Parameters
    ----------
    num_features : int
        Channels C.
    eps : float, default 1e-5
        Added to the (biased) variance before the root is taken.
    momentum : float, default 0.1
        Weight of the new value in the running statistics.
    affine : bool, default False
        Whether there are a scale ``weight`` (C,), at first 1, and a shift ``bias`` (C,), at
        first 0.
    track_running_stats : bool, default False
        Whether running statistics are kept, and used in evaluation.
    device, dtype : optional
        Of parameters and buffers.
    bias : bool, default True
        Whether ``affine`` includes the shift.
    """

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of volumes (N, C, D, H, W), as :class:`InstanceNorm2d`."""

    dims = (4, 5)
