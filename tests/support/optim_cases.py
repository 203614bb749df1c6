"""One call of every optimizer kernel, with every option."""

import numpy as np
from kernel_cases import random_array

#: Shapes of the parameters of one call.
SHAPES = [(3, 4), (), (2, 3, 5, 2), (1, 7, 1), (0, 3), (130,)]


def calls():
    """Return {name: (kernel, kinds of what is remembered, options)}.

    A kind is "any" for numbers of either sign, "square" for those that are at least 0, ``None``
    for what is not remembered.
    """
    found = {}
    for decay, up in ((0, False), (0.1, True), (0.3, False)):
        for nesterov in (False, True):
            found[f"sgd momentum {nesterov} {decay} {up}"] = (
                "sgd", ("any",), (0.1, 0.9, 0 if nesterov else 0.2, decay, nesterov, up)
            )  # fmt: skip
        found[f"sgd {decay} {up}"] = ("sgd", (None,), (0.1, 0, 0, decay, False, up))
        for largest in (None, "square"):
            for decoupled in (False, True):
                found[f"adam {largest} {decoupled} {decay} {up}"] = (
                    "adam", ("any", "square", largest),
                    (3, 0.1, 0.8, 0.9, 1e-3, decay, decoupled, up),
                )  # fmt: skip
        for mean in (None, "small"):
            for velocity in (None, "any"):
                found[f"rmsprop {mean} {velocity} {decay} {up}"] = (
                    "rmsprop", ("square", mean, velocity),
                    (0.1, 0.9, 1e-3, decay, 0.5 if velocity else 0, up),
                )  # fmt: skip
        found[f"adagrad {decay} {up}"] = (
            "adagrad", ("square",), (3, 0.1, 0.2, 1e-3, decay, up)
        )  # fmt: skip
        found[f"adadelta {decay} {up}"] = (
            "adadelta", ("square", "square"), (0.5, 0.9, 1e-3, decay, up)
        )  # fmt: skip
    return found


CALLS = calls()


def remembered(kind, shapes, dtype, seed):
    """Return a list of arrays of a kind, or ``None``."""
    if kind is None:
        return None
    arrays = [random_array(shape, dtype, seed) for shape in shapes]
    if kind == "any":
        return arrays
    return [np.asarray(a * a + 1 if kind == "square" else a / 10, dtype) for a in arrays]


def arguments(name, dtype="float64", shapes=SHAPES):
    """Return the kernel's name, its lists of arrays, and its options."""
    kernel, kinds, options = CALLS[name]
    lists = [remembered(k, shapes, dtype, s) for s, k in enumerate(("any", "any", *kinds))]
    return kernel, lists, options
