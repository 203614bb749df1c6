"""All parameters of a model as one vector, for algorithms that think of them so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...autograd import no_grad
from ...errors import ShapeError
from ...ops import cat


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """Return parameters, flattened and one behind the other; gradients flow to each.

    Parameters
    ----------
    parameters : iterable of Tensor
        Of one device.

    Returns
    -------
    Tensor
        (total number of elements,).

    Examples
    --------
    >>> import tinyconv as tc
    >>> layer = tc.nn.Linear(3, 2)
    >>> tc.nn.utils.parameters_to_vector(layer.parameters()).shape
    tinyconv.Size([8])
    """
    return cat([parameter.reshape(-1) for parameter in parameters])


@no_grad()
def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Write a vector into parameters, in place: what :func:`parameters_to_vector` undoes.

    Parameters
    ----------
    vec : Tensor
        (total number of elements,).
    parameters : iterable of Tensor
        What to write to.

    Raises
    ------
    ShapeError
        If the vector has another number of elements; then nothing was written.
    """
    parameters = list(parameters)
    wanted = sum(parameter.numel() for parameter in parameters)
    if vec.ndim != 1 or vec.numel() != wanted:
        raise ShapeError(
            f"vector_to_parameters: argument 'vec' must have shape ({wanted},), one element for "
            f"each of the parameters, got {tuple(vec.shape)}"
        )
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.copy_(vec[start:end].reshape(parameter.shape))
        start = end
