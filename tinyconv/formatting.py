"""How a tensor prints: PyTorch's form.

All elements of a tensor are printed in one format. Whole numbers in a float tensor get no
decimals (``2.``); very large, very small or very different numbers get scientific notation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import config
from .backend import as_dtype
from .errors import ArgumentError

if TYPE_CHECKING:
    from .autograd import TensorBase


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print; what is left out stays as it is.

    Parameters
    ----------
    precision : int, default 4
        Digits after the point.
    threshold : int, default 1000
        Tensors with more elements are summarised with ``...``.
    edgeitems : int, default 3
        Elements shown at each end of a summarised dimension.
    linewidth : int, default 80
        Characters a line.
    profile : {"default", "short", "full"}, optional
        Start from these settings.
    sci_mode : bool, optional
        Always, or never, use scientific notation; default: decide by the numbers.

    Raises
    ------
    ArgumentError
        If the profile is unknown.
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ArgumentError(
                f"set_printoptions: profile {profile!r} is unknown; choose {', '.join(_PROFILES)}"
            )
        vars(_options).update(vars(_PROFILES[profile]))
    given = {
        "precision": precision, "threshold": threshold, "edgeitems": edgeitems,
        "linewidth": linewidth,
    }  # fmt: skip
    for name, value in given.items():
        if value is not None:
            setattr(_options, name, value)
    _options.sci_mode = sci_mode


def format_tensor(tensor: TensorBase, *, indent: str = "tensor(") -> str:
    """Return the text of ``repr(tensor)``."""
    array = tensor.device.backend.to_host(tensor.array)
    suffixes = _suffixes(tensor, array)
    if array.size == 0:
        body = "[]"
        if array.ndim != 1:
            suffixes.insert(0, f"size={tuple(array.shape)}")
    else:
        summary = array.size > _options.threshold
        shown = np.concatenate([part.ravel() for part in _visible(array, summary)])
        text = _formatter(shown, tensor.dtype.is_floating_point)
        body = _format_array(array, text, len(indent), summary)
    return _append(indent + body, suffixes, len(indent)) + ")"


def _suffixes(tensor: TensorBase, array: np.ndarray[Any, Any]) -> list[str]:
    """Return the parts behind the numbers, such as ``dtype=tinyconv.float64``."""
    found = []
    if tensor.device.type != "cpu":
        found.append(f"device='{tensor.device}'")
    default = as_dtype(config.dtype.get())
    usual = tensor.dtype is default or tensor.dtype.name in ("int64", "bool")
    if not usual or (array.size == 0 and tensor.dtype is not default):
        found.append(f"dtype={tensor.dtype!r}")
    if tensor.grad_fn is not None:
        found.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor.requires_grad:
        found.append("requires_grad=True")
    return found


def _append(text: str, suffixes: list[str], indent: int) -> str:
    """Put each suffix on the last line where it fits, else on a line of its own."""
    used = len(text) - text.rfind("\n")
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text


def _visible(array: np.ndarray[Any, Any], summary: bool) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the parts of the array that are printed."""
    edge = _options.edgeitems
    if not summary or array.ndim == 0:
        yield array
    elif array.ndim == 1:
        yield from (array[:edge], array[-edge:]) if len(array) > 2 * edge else (array,)
    else:
        rows = [*array[:edge], *array[-edge:]] if len(array) > 2 * edge else list(array)
        for row in rows:
            yield from _visible(row, summary)


def _formatter(shown: np.ndarray[Any, Any], floating: bool) -> Callable[[Any], str]:
    """Return the function that formats each element, for the elements that are printed."""
    if not floating:
        width = max([len(str(value)) for value in shown.tolist()])
        return lambda value: str(value).rjust(width)
    values = shown.astype(np.float64)
    counted = values[np.isfinite(values) & (values != 0)]  # zeros, nan and inf adapt
    spec, point = _float_spec(np.abs(counted))

    def text(value: float) -> str:
        return format(value, spec) + (point if math.isfinite(value) else "")

    width = max([len(text(value)) for value in counted.tolist()], default=1)
    return lambda value: text(value).rjust(width)


def _float_spec(sizes: np.ndarray[Any, Any]) -> tuple[str, str]:
    """Return the format for floats of these absolute values, and what to put behind each."""
    precision, forced = _options.precision, _options.sci_mode
    if sizes.size == 0:
        return (f".{precision}e", "") if forced else (".0f", ".")
    largest, smallest = float(sizes.max()), float(sizes.min())
    wide = largest / smallest > 1000 or largest > 1e8
    if bool(np.all(sizes == np.ceil(sizes))):
        scientific = wide if forced is None else forced
        return (f".{precision}e", "") if scientific else (".0f", ".")
    scientific = wide or smallest < 1e-4 if forced is None else forced
    return f".{precision}{'e' if scientific else 'f'}", ""


def _format_array(
    array: np.ndarray[Any, Any], text: Callable[[Any], str], indent: int, summary: bool
) -> str:
    """Return nested brackets, ``indent`` characters from the left margin."""
    if array.ndim == 0:
        return text(array.item())
    edge = _options.edgeitems
    cut = summary and len(array) > 2 * edge
    if array.ndim == 1:
        head = array[:edge] if cut else array
        words = [text(value) for value in head.tolist()]
        if cut:
            words += [" ...", *[text(value) for value in array[-edge:].tolist()]]
        # Long vectors wrap; a word takes its own width, a comma and a space.
        per_line = max(1, (_options.linewidth - indent) // (len(words[0]) + 2))
        lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [*array[:edge], *array[-edge:]] if cut else list(array)
    parts = [_format_array(row, text, indent + 1, summary) for row in rows]
    if cut:
        parts.insert(edge, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
