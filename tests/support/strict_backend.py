"""array-api-strict as a device: proof that nothing above the kernels leaves the standard."""

import array_api_strict
import numpy as np

from tinyconv.backend import Backend, register


class StrictBackend(Backend):
    """Reference kernels on arrays that accept only what the array-API standard says."""

    def to_host(self, array):
        return array if isinstance(array, np.ndarray) else np.asarray(array._array)

    def shares_memory(self, a, b):
        return np.may_share_memory(a._array, b._array)


def register_strict() -> None:
    """Make the device type "strict" known; a second call does nothing."""
    from tinyconv import config

    if "strict" not in config.DEVICE_TYPES:
        register(StrictBackend("strict", array_api_strict))
