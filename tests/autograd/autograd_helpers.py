"""Tensors for the tests of the graph, and a count of the graph nodes that are alive."""

import gc

import numpy as np

from tinyconv.autograd import Function, TensorBase
from tinyconv.backend import as_device


def tensor(values, requires_grad=False, dtype=np.float64):
    """Return a tensor on the default device; copies ``values``."""
    device = as_device()
    array = device.backend.asarray(np.array(values, dtype=dtype, copy=True))
    return TensorBase.public_class(array, device, requires_grad)


def leaf(values, dtype=np.float64):
    """Return a tensor that requires gradients."""
    return tensor(values, True, dtype)


def host(x):
    """Return the contents of a tensor as a NumPy array; ``None`` stays ``None``."""
    return None if x is None else np.asarray(x.device.backend.to_host(x.array))


def alive(kind=Function):
    """Return how many objects of a class exist."""
    return sum(issubclass(type(o), kind) for o in gc.get_objects())
