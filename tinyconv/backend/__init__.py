"""Arrays, devices, random numbers and kernels. Knows nothing about gradients."""

import numpy

from .. import config
from . import cpu, dtypes, random
from .base import Backend
from .device import Device, _backends, as_device, backends, follow_setting, register
from .dtypes import DType, as_dtype

# The CPU has two sets of kernels over the same arrays; ``config.backend`` chooses.
_backends["numpy"] = Backend("numpy", numpy)
_backends["cpu"] = Backend("cpu", numpy, cpu.override)
_backends["cpu"].normalises = True
follow_setting()
config.backend.listeners.append(follow_setting)

__all__ = [
    "Backend",
    "DType",
    "Device",
    "as_device",
    "as_dtype",
    "backends",
    "dtypes",
    "random",
    "register",
]
