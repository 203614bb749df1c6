"""Penalties on the size of weights, to be added to a loss, and which parameters are weights."""

from __future__ import annotations

from typing import Any

from ...errors import DTypeError
from ...ops import zeros
from ...ops._operands import check_floating
from ..batchnorm import NormWithStatistics
from ..module import Module
from ..normalization import GroupNorm, LayerNorm, RMSNorm
from .clip_grad import listed

_NORMALISATIONS = (NormWithStatistics, GroupNorm, LayerNorm, RMSNorm)


def weights_of(module: Module, *, biases: bool = False, norms: bool = False) -> list[Any]:
    """Return the parameters that are usually regularised: those of a model that are weights.

    Biases, and the scales and shifts of normalisation layers, are few, and do not make a model
    fit noise, and pulling them to 0 can do harm.

    Parameters
    ----------
    module : Module
        The model, or a part of it. Of a parametrized weight, its originals are returned.
    biases : bool, default False
        Whether to include biases: parameters with ``bias`` in their name.
    norms : bool, default False
        Whether to include the scales of normalisation layers (and their shifts, with ``biases``).

    Returns
    -------
    list of Parameter
        Each once, in the order of ``module.parameters()``.

    Raises
    ------
    DTypeError
        If ``module`` is no module.

    Examples
    --------
    Weight decay of the weights only:

    >>> import tinyconv as tc
    >>> from tinyconv import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    >>> weights = nn.utils.weights_of(model)
    >>> [tuple(p.shape) for p in weights]
    [(4, 1, 3, 3), (2, 4)]
    >>> others = [p for p in model.parameters() if all(p is not w for w in weights)]
    >>> groups = [{"params": weights, "weight_decay": 1e-2}, {"params": others}]
    >>> optimizer = tc.optim.SGD(groups, lr=0.1)
    """
    if not isinstance(module, Module):
        raise DTypeError(f"weights_of: expected a Module, got {type(module).__name__}")
    chosen = []
    for path, parameter in module.named_parameters():
        parts = path.split(".")
        if "parametrizations" in parts:  # owner.parametrizations.weight.original
            place = parts.index("parametrizations")
            parts = [*parts[:place], parts[place + 1]]
        owner = module.get_submodule(".".join(parts[:-1]))
        is_bias, is_norm = "bias" in parts[-1].split("_"), isinstance(owner, _NORMALISATIONS)
        if (biases or not is_bias) and (norms or not is_norm):
            chosen.append(parameter)
    return chosen


def l1_penalty(parameters: Any) -> Any:
    """Return the sum of the absolute values of parameters; its gradient makes many of them 0.

    Parameters
    ----------
    parameters : iterable of Tensor, or Tensor
        Floating point; :func:`weights_of` finds the weights of a model.

    Returns
    -------
    Tensor
        0-d, differentiable; 0 for no parameters. At 0 the gradient is 0.

    Raises
    ------
    DTypeError
        If there is something else than floating-point tensors.

    Examples
    --------
    >>> import tinyconv as tc
    >>> from tinyconv import nn
    >>> model = nn.Linear(2, 1)
    >>> loss = model(tc.ones(1, 2)).sum() + 1e-3 * nn.utils.l1_penalty(nn.utils.weights_of(model))
    """
    return _total("l1_penalty", parameters, lambda p: p.abs().sum())


def l2_penalty(parameters: Any) -> Any:
    """Return the sum of the squares of parameters.

    With plain gradient descent, ``0.5 * strength * l2_penalty(...)`` in the loss does what
    ``weight_decay=strength`` of the optimizer does. ``strength * l2_penalty(...)`` is the
    regularizer ``L2(strength)`` of Keras.

    Parameters
    ----------
    parameters : iterable of Tensor, or Tensor
        Floating point; :func:`weights_of` finds the weights of a model.

    Returns
    -------
    Tensor
        0-d, differentiable; 0 for no parameters.

    Raises
    ------
    DTypeError
        If there is something else than floating-point tensors.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.utils.l2_penalty(tc.tensor([3.0, 4.0]))
    tensor(25.)
    """
    return _total("l2_penalty", parameters, lambda p: p.square().sum())


def _total(op: str, parameters: Any, size: Any) -> Any:
    sizes = [size(check_floating(op, "parameters", p)) for p in listed(parameters)]
    return sum(sizes[1:], start=sizes[0]) if sizes else zeros(())
