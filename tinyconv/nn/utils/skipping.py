"""Modules without the work of drawing initial values."""

from __future__ import annotations

from typing import Any

from ...errors import DTypeError
from .._skipping import skipped
from ..module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Any:
    """Make a module whose parameters have arbitrary values, as for a state dict that follows.

    Nothing is drawn from the generator of random numbers. What a class sets without
    :mod:`tinyconv.nn.init`, such as the slope of a :class:`~tinyconv.nn.PReLU`, is set as ever.

    Parameters
    ----------
    module_cls : type
        Class of the module.
    *args, **kwargs
        What the class is called with.

    Raises
    ------
    DTypeError
        If it is no class of modules.

    Examples
    --------
    >>> import tinyconv as tc
    >>> state = tc.nn.Linear(5, 1).state_dict()
    >>> layer = tc.nn.utils.skip_init(tc.nn.Linear, 5, 1)
    >>> layer.load_state_dict(state)
    <All keys matched successfully>
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise DTypeError(f"skip_init: expected a class of modules, got {module_cls!r}")
    with skipped():
        return module_cls(*args, **kwargs)
