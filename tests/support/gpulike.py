"""A device that is not the CPU, on NumPy arrays: what autocast does elsewhere can be seen on it."""

import numpy as np

from tinyconv import config
from tinyconv.backend import Backend, register


def register_gpulike() -> str:
    """Make the device type "gpulike" known, and return its name."""
    if "gpulike" not in config.DEVICE_TYPES:
        register(Backend("gpulike", np))
    return "gpulike"
