"""Batch normalisation layers."""

from __future__ import annotations

from typing import Any, ClassVar

from ..autograd import is_recomputing
from ..errors import ArgumentError, ShapeError
from ..ops import empty, ones, tensor, zeros
from . import functional as F
from . import init
from ._arguments import sizes
from .module import Module
from .parameter import Parameter


class NormWithStatistics(Module):
    """What batch and instance normalisation have in common: parameters and running statistics."""

    #: Files of before PyTorch 0.4.1 have no count.
    optional_state = frozenset({"num_batches_tracked"})
    dims: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        (self.num_features,) = sizes(type(self).__name__, "num_features", num_features, 1)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        new = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, Parameter(empty(num_features, **new)) if wanted else None)
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **new) if track else None)
        self.register_buffer("running_var", ones(num_features, **new) if track else None)
        count = tensor(0, dtype="int64", device=device) if track else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1 and the count to 0."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Set the scale to 1, the shift to 0, and reset the running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def check_dims(self, input: Any) -> None:
        """Raise ``ShapeError`` if the input has not one of the numbers of dimensions allowed."""
        if input.ndim not in self.dims:
            expected = " or ".join(map(str, self.dims))
            raise ShapeError(
                f"{type(self).__name__}: input must have {expected} dimensions, got shape "
                f"{tuple(input.shape)}"
            )

    def extra_repr(self) -> str:
        """Return the sizes and options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(NormWithStatistics):
    def forward(self, input: Any) -> Any:
        """Normalise by the batch while training, by the running statistics in evaluation."""
        return self.forward_with(None, input)

    def forward_with(self, activation: str | None, input: Any) -> Any:
        """Normalise, and apply an activation of :func:`.functional.batch_norm` in the same pass."""
        self.check_dims(input)
        weight, bias = self._entries(self._parameters, "weight", "bias")
        mean, var, count = self._entries(
            self._buffers, "running_mean", "running_var", "num_batches_tracked"
        )
        momentum = self.momentum
        by_batch = self.training or mean is None
        if self.training and self.track_running_stats and not is_recomputing():
            if momentum is None and count is not None:  # the mean of all batches so far
                momentum = 1.0 / (count.item() + 1)
        else:
            count = None
            if by_batch:
                mean = var = None
        return F.batch_norm(
            input, mean, var, weight, bias, by_batch, momentum or 0.0, self.eps,
            activation=activation, num_batches_tracked=count,
        )  # fmt: skip

    def constants(self) -> list[Any] | None:
        """Return mean, variance, weight and bias by which evaluation normalises; ``None`` if none.

        That is so in training, and where there are no running averages.
        """
        if self.training or self._buffers.get("running_mean") is None:
            return None
        mean, var = self._entries(self._buffers, "running_mean", "running_var")
        weight, bias = self._entries(self._parameters, "weight", "bias")
        return [mean, var, weight, bias]


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L), as :class:`BatchNorm2d`."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of (N, C, H, W) to mean 0 and variance 1, then scale and shift.

    While training, mean and (biased) variance are those of the batch, and running ones are kept
    as ``(1 - momentum) * running + momentum * new``, with the unbiased variance. In evaluation
    the running ones are used. Ioffe and Szegedy, "Batch normalization" (2015).

    Parameters
    ----------
    num_features : int
        Channels C.
    eps : float, default 1e-5
        Added to the variance before the root is taken.
    momentum : float or None, default 0.1
        Weight of the new value in the running statistics; ``None`` takes the mean of all batches.
    affine : bool, default True
        Whether there are a scale ``weight`` (C,), at first 1, and a shift ``bias`` (C,), at
        first 0.
    track_running_stats : bool, default True
        Whether there are the buffers ``running_mean`` (C,), ``running_var`` (C,) and
        ``num_batches_tracked`` (int64 scalar); without them the batch's statistics are used in
        evaluation too.
    device, dtype : optional
        Of parameters and buffers.
    bias : bool, default True
        Whether ``affine`` includes the shift.

    Raises
    ------
    ShapeError
        When called with another number of dimensions or channels.

    Examples
    --------
    >>> import tinyconv as tc
    >>> layer = tc.nn.BatchNorm2d(3)
    >>> layer(tc.randn(8, 3, 4, 4)).shape, layer.num_batches_tracked.item()
    (tinyconv.Size([8, 3, 4, 4]), 1)
    """

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W), as :class:`BatchNorm2d`."""

    dims = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, ...), over the batch of this one process.

    What PyTorch's layer of this name does where there is no process group: arguments, state and
    values are those of :class:`BatchNorm2d`, with any number of dimensions.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats
        As in :class:`BatchNorm2d`.
    process_group : None
        There is one process.
    device, dtype, bias
        As in :class:`BatchNorm2d`.

    Raises
    ------
    ArgumentError
        If ``process_group`` is given.
    ShapeError
        When called with fewer than two dimensions, or another number of channels.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        _check_one_process(process_group)
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def check_dims(self, input: Any) -> None:
        """Raise ``ShapeError`` if the input has fewer than two dimensions."""
        if input.ndim < 2:
            raise ShapeError(
                "SyncBatchNorm: input must have at least 2 dimensions, got shape "
                f"{tuple(input.shape)}"
            )

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: None = None) -> Any:
        """Replace all batch normalisation layers in a network by :class:`SyncBatchNorm`.

        Parameters
        ----------
        module : Module
            A network, whose layers are replaced in place, or such a layer itself.
        process_group : None
            There is one process.

        Returns
        -------
        Module
            ``module``, or, if it is such a layer, a new one with the same parameters, buffers
            and mode.
        """
        _check_one_process(process_group)
        result = module
        if isinstance(module, _BatchNorm):
            result = cls(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, bias=module.bias is not None,
            )  # fmt: skip
            result.weight, result.bias = module.weight, module.bias
            for name, buffer in module.named_buffers():
                setattr(result, name, buffer)
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child))
        return result


def _check_one_process(process_group: Any) -> None:
    if process_group is not None:
        raise ArgumentError(
            "SyncBatchNorm: process_group must be None, since statistics are those of one process; "
            f"got {process_group!r}"
        )
