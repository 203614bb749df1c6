"""The levels of ``TINYCONV_DEBUG`` that concern single ops."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from .. import config
from .anomaly import NanCheck, Origins
from .observer import Observer, set_default


class OpTimes(Observer):
    """Prints the time of every op to stderr; that of a backward includes the ops inside it."""

    def before_forward(self, node: Any, args: tuple[Any, ...]) -> None:
        """Take the time."""
        node.started = time.perf_counter()

    def after_forward(self, node: Any, args: tuple[Any, ...], outputs: Any) -> None:
        """Print the time."""
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        self._print(type(node).__name__, node.started, first)

    def before_backward(self, node: Any, grads: Sequence[Any]) -> None:
        """Take the time."""
        node.started = time.perf_counter()

    def after_backward(self, node: Any, grads: Sequence[Any], results: tuple[Any, ...]) -> None:
        """Print the time."""
        first = next((result for result in results if result is not None), None)
        self._print(node.name(), node.started, first)

    def _print(self, name: str, started: float, result: Any) -> None:
        shape = ""
        if result is not None:
            result.device.backend.synchronize()
            shape = f"  {result.dtype.name}{list(result.array.shape)}"
        elapsed = time.perf_counter() - started
        print(f"tinyconv: {name:<24} {elapsed * 1e3:9.3f} ms{shape}", file=sys.stderr)


def _observers(level: int) -> tuple[Observer, ...]:
    observers = (Origins(), NanCheck(), OpTimes())[:level]
    for observer in observers:
        observer.from_setting = True
    return observers


def _follow() -> None:
    """Install the observers that ``config.debug`` asks for."""
    process, own = config.debug._value, config.debug.get()
    default = _observers(process)
    set_default(default, default if own == process else _observers(own))


def follow_setting() -> None:
    """Keep the observers in step with ``config.debug`` from now on."""
    config.debug.listeners.append(_follow)
    if config.debug.get():
        _follow()
