"""Averages of a model's weights over training: exponential (EMA), and equally weighted (SWA).

>>> import tinyconv as tc
>>> model = tc.nn.Linear(2, 1)
>>> optimizer = tc.optim.SGD(model.parameters(), lr=0.1)
>>> ema_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
>>> for _ in range(3):
...     optimizer.zero_grad()
...     model(tc.randn(4, 2)).square().mean().backward()
...     optimizer.step()
...     ema_model.update_parameters(model)
>>> ema_model.n_averaged.item()
3
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..autograd import no_grad
from ..errors import ArgumentError, ShapeError
from ..nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from ..ops import tensor
from .lr_scheduler.swa import SWALR

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

AvgFn = Callable[[Any, Any, Any], Any]
MultiAvgFn = Callable[[Sequence[Any], Sequence[Any], Any], None]


def get_ema_avg_fn(decay: float = 0.999) -> AvgFn:
    """Return ``f(average, current, n) = decay * average + (1 - decay) * current``.

    Parameters
    ----------
    decay : float, default 0.999
        From 0 to 1.

    Raises
    ------
    ArgumentError
        If ``decay`` is out of range.
    """
    _check_decay("get_ema_avg_fn", decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> AvgFn:
    """Return ``f(average, current, n)``, the mean of n models and one more."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAvgFn:
    """Return a function that does what :func:`get_ema_avg_fn` does to lists, in place."""
    _check_decay("get_ema_multi_avg_fn", decay)
    ema_update = get_ema_avg_fn(decay)

    @no_grad()
    def ema_multi_update(
        ema_param_list: Sequence[Any], current_param_list: Sequence[Any], num_averaged: Any
    ) -> None:
        for average, current in zip(ema_param_list, current_param_list, strict=True):
            if average.dtype.is_floating_point:
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(ema_update(average, current, num_averaged))

    return ema_multi_update


def get_swa_multi_avg_fn() -> MultiAvgFn:
    """Return a function that does what :func:`get_swa_avg_fn` does to lists, in place."""
    swa_update = get_swa_avg_fn()

    @no_grad()
    def swa_multi_update(
        averaged_param_list: Sequence[Any], current_param_list: Sequence[Any], num_averaged: Any
    ) -> None:
        for average, current in zip(averaged_param_list, current_param_list, strict=True):
            if average.dtype.is_floating_point:
                average.lerp_(current, 1 / (int(num_averaged) + 1))
            else:
                average.copy_(swa_update(average, current, num_averaged))

    return swa_multi_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages over the course of its training.

    Parameters
    ----------
    model : Module
        What is copied; the copy is called ``module``.
    device : optional
        Where the copy is kept; default is that of the model.
    avg_fn : callable, optional
        ``avg_fn(average, current, n_averaged)`` returns the new average of one parameter.
    multi_avg_fn : callable, optional
        ``multi_avg_fn(averages, currents, n_averaged)`` changes lists of averages, of one device
        and dtype each, in place. By default, and without ``avg_fn``, all models weigh the same.
    use_buffers : bool, default False
        Average the buffers, such as the running statistics of batch normalisation, as well.
        By default they are copied from the model at every update.

    Raises
    ------
    ArgumentError
        If both functions are given.

    References
    ----------
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; Izmailov
    et al., "Averaging weights leads to wider optima and better generalization", UAI 2018,
    arXiv:1803.05407.

    Notes
    -----
    Running statistics that are copied or averaged are those of other weights than the averages:
    :func:`update_bn` computes their own. The functions are no part of the state dict.
    """

    n_averaged: Any

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AvgFn | None = None,
        multi_avg_fn: MultiAvgFn | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: only one of avg_fn and multi_avg_fn can be given")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype="int64", device=device))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model with averaged parameters returns."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the parameters of a model into the averages; the first time, copy them.

        Raises
        ------
        ShapeError
            If the model has other parameters or buffers than the copy; nothing was changed.
        """
        mine, theirs = self._averaged(self.module), self._averaged(model)
        buffers, sources = list(self.module.buffers()), list(model.buffers())
        _check_same(mine, theirs)
        _check_same(buffers, sources)
        current = [source.detach().to(own.device) for own, source in zip(mine, theirs, strict=True)]
        if self.n_averaged.item() == 0:
            for own, source in zip(mine, current, strict=True):
                own.copy_(source)
        elif self.avg_fn is not None:
            for own, source in zip(mine, current, strict=True):
                own.copy_(self.avg_fn(own, source, self.n_averaged.to(own.device)))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            for averages, sources_there in _by_device_and_dtype(mine, current):
                update(averages, sources_there, self.n_averaged.to(averages[0].device))
        if not self.use_buffers:
            for own, source in zip(buffers, sources, strict=True):
                own.copy_(source)
        self.n_averaged += 1

    def _averaged(self, model: Module) -> list[Any]:
        buffers: Iterable[Any] = model.buffers() if self.use_buffers else ()
        return [t.detach() for t in itertools.chain(model.parameters(), buffers)]


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of batch normalisation anew, in one pass over the data.

    They are then plain means over the batches. A model without batch normalisation is not called.

    Parameters
    ----------
    loader : iterable
        Of batches: the input of the model, or a list or tuple that it is the first element of.
    model : Module
        Is put into training mode meanwhile.
    device : optional
        Where the batches are moved to.
    """
    norms = [m for m in model.modules() if isinstance(m, BatchNorm1d | BatchNorm2d | BatchNorm3d)]
    if not norms:
        return
    momenta, modes = [m.momentum for m in norms], [(m, m.training) for m in model.modules()]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        model.train()
        for batch in loader:
            input = batch[0] if isinstance(batch, list | tuple) else batch
            model(input if device is None else input.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode


def _check_decay(name: str, decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ArgumentError(f"{name}: decay must be from 0 to 1, got {decay}")


def _check_same(mine: list[Any], theirs: list[Any]) -> None:
    """Raise unless two models have tensors of the same shapes in the same order."""
    shapes, others = ([tuple(t.shape) for t in tensors] for tensors in (mine, theirs))
    if shapes != others:
        raise ShapeError(
            "AveragedModel: the model must have parameters and buffers of the shapes "
            f"{shapes}, as the copy, got {others}"
        )


def _by_device_and_dtype(
    mine: list[Any], theirs: list[Any]
) -> Iterable[tuple[list[Any], list[Any]]]:
    """Return the pairs of lists of those that one call can update."""
    groups: dict[Any, tuple[list[Any], list[Any]]] = {}
    for own, source in zip(mine, theirs, strict=True):
        averages, sources = groups.setdefault((str(own.device), own.dtype.name), ([], []))
        averages.append(own)
        sources.append(source)
    return groups.values()
