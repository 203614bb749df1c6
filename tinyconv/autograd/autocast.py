"""Autocast contexts: for which devices, and in which dtype; ``ops/autocasting.py`` does the casts.

The state is that of the thread, as are the grad modes; a new thread begins without autocast.
"""

from __future__ import annotations

import warnings
from typing import Any

from .. import config
from ..backend import DType, as_dtype, backends
from ..backend.dtypes import Half, bfloat16, float16
from ..errors import DeviceError, DTypeError
from .modes import AutocastSetting, _Mode, state


class autocast(_Mode):
    """Compute in half precision what bears it, inside the block or the decorated function.

    Convolutions and matrix products take their inputs in ``dtype``; losses, and whatever else adds
    up many numbers, take them in float32. Parameters stay float32, and so do their gradients; each
    is cast once inside the outermost context. Backward passes need no context: an op goes back in
    the dtype in which it went forward. :doc:`/guide/mixed_precision` lists the ops.

    Parameters
    ----------
    device_type : str
        ``"cpu"``, ``"cuda"`` or the type of a registered backend; ops on other devices stay as
        they are.
    dtype : DType, optional
        ``tc.bfloat16`` or ``tc.float16``; default bfloat16 on the CPU and float16 elsewhere. With
        another dtype, or for a device that is not there, a warning says that nothing is cast.
    enabled : bool, default True
        ``False`` switches autocast off inside another context.
    cache_enabled : bool, default True
        Whether casts of parameters are kept until the end of the outermost context.

    Raises
    ------
    DeviceError
        If the device type is unknown.

    Examples
    --------
    >>> import tinyconv as tc
    >>> layer = tc.nn.Linear(4, 2)
    >>> with tc.autocast("cpu", dtype=tc.bfloat16):
    ...     y = layer(tc.ones(3, 4))
    ...     loss = tc.nn.functional.mse_loss(y, tc.zeros(3, 2))
    >>> y.dtype, loss.dtype
    (tinyconv.bfloat16, tinyconv.float32)
    >>> loss.backward()
    >>> layer.weight.grad.dtype
    tinyconv.float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        kind = _known(device_type)
        lower = _default(kind) if dtype is None else as_dtype(dtype)
        if enabled and not isinstance(lower, Half):
            warnings.warn(
                f"autocast: dtype must be bfloat16 or float16, got {lower}; nothing is cast",
                stacklevel=2,
            )
            enabled = False
        if enabled and kind not in backends():
            warnings.warn(f"autocast: device {kind!r} cannot be had; nothing is cast", stacklevel=2)
            enabled = False
        if enabled:
            _check_held(kind, lower)
        cache = True if cache_enabled is None else bool(cache_enabled)
        self.device, self.enabled = kind, bool(enabled)
        self.setting = AutocastSetting(kind, lower, cache)
        self._before: list[dict[str, AutocastSetting] | None] = []

    @property
    def dtype(self) -> DType:
        """The lower of the two dtypes."""
        return self.setting.dtype

    def __enter__(self) -> autocast:  # type: ignore[override]
        self._before.append(state.autocast)
        others = {k: v for k, v in (state.autocast or {}).items() if k != self.device}
        active = {**others, self.device: self.setting} if self.enabled else others
        state.autocast = active or None
        state.autocast_depth += 1
        return self

    def __exit__(self, *exc: Any) -> None:
        state.autocast = self._before.pop()
        state.autocast_depth -= 1
        if state.autocast_depth == 0:
            clear_autocast_cache()

    def _clone(self) -> autocast:
        other = object.__new__(autocast)
        other.device, other.enabled, other.setting = self.device, self.enabled, self.setting
        other._before = []
        return other


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Return whether ops on a type of device are autocast in this thread."""
    return _known(device_type) in (state.autocast or {})


def get_autocast_dtype(device_type: str) -> DType:
    """Return the dtype that autocast lowers to on a type of device, now or by default."""
    setting = (state.autocast or {}).get(_known(device_type))
    return _default(device_type) if setting is None else setting.dtype


def is_autocast_available(device_type: str) -> bool:
    """Return whether there is a device of a type, so that its ops can be autocast."""
    return _known(device_type) in backends()


def clear_autocast_cache() -> None:
    """Forget the parameters that were cast inside the contexts around this place."""
    state.autocast_casts.clear()


def _known(device_type: str) -> str:
    kinds = [kind for kind in config.DEVICE_TYPES if kind != "auto"]
    if not isinstance(device_type, str) or device_type not in kinds:
        raise DeviceError(
            f"autocast: device_type must be one of {', '.join(kinds)}, got {device_type!r}"
        )
    return device_type


def _default(kind: str) -> DType:
    return bfloat16 if kind == "cpu" else float16


def _check_held(kind: str, dtype: DType) -> None:
    """Raise ``DTypeError`` if the arrays of a device cannot hold a dtype."""
    try:
        dtype.of(backends()[kind].xp)
    except AttributeError:
        raise DTypeError(f"autocast: device {kind!r} has no {dtype.name}") from None
