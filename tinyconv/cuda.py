"""``tinyconv.cuda``: what scripts ask about GPUs before they choose a device.

There is no CUDA backend on this machine unless one is registered under the name ``cuda``, so
``is_available`` tells the truth and scripts fall back to the CPU.
"""

from __future__ import annotations

from . import backend


def is_available() -> bool:
    """Return whether tensors can be put on ``cuda``."""
    return "cuda" in backend.backends()


def device_count() -> int:
    """Return the number of GPUs tensors can be put on."""
    return int(is_available())


def synchronize() -> None:
    """Wait until the GPU has done all its work; there is nothing to wait for without one."""
    if is_available():
        backend.backends()["cuda"].synchronize()
