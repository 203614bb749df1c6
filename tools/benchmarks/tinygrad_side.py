"""tinygrad: a captured training step of a network without branches. Needs clang for the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np


class Peer:
    """tinygrad on the CPU, without its search for faster kernels."""

    name = "tinygrad"

    def __init__(self, threads: int) -> None:
        os.environ["CPU_COUNT"] = str(threads)
        os.environ.setdefault("DEV", "CPU")
        import tinygrad

        (tinygrad.Tensor([1.0]) + 1).numpy()  # raises where there is no compiler
        self.tinygrad = tinygrad

    def training(
        self, net: Any, layers: list, images: np.ndarray, labels: np.ndarray, weights: dict
    ) -> tuple[Callable[[], Any], Callable[[], dict[str, np.ndarray]]]:
        """Return a step and the probe of its loss."""
        Tensor = self.tinygrad.Tensor
        parameters = {name: Tensor(array) for name, array in weights.items()}
        optimizer = self.tinygrad.nn.optim.SGD(list(parameters.values()), lr=1e-3, momentum=0.9)
        x, y = Tensor(images).realize(), Tensor(labels.astype(np.int32)).realize()

        def loss() -> Any:
            return _forward(layers, parameters, x).sparse_categorical_crossentropy(y)

        @self.tinygrad.TinyJit
        def captured() -> Any:
            optimizer.zero_grad()
            value = loss().backward()
            return value.realize(*optimizer.schedule_step())

        def step() -> None:
            with self.tinygrad.Context(TRAINING=1):
                captured().numpy()

        return step, lambda: {"loss": loss().numpy()}


def _forward(layers: list, parameters: dict, x: Any) -> Any:
    """Return the logits."""
    for i, (kind, *arguments) in enumerate(layers):
        weight, bias = parameters.get(f"{i}.weight"), parameters.get(f"{i}.bias")
        if kind == "conv":
            x = x.conv2d(weight, bias, padding=arguments[3])
        elif kind == "linear":
            x = x.linear(weight.T, bias)
        elif kind == "relu":
            x = x.relu()
        elif kind == "pool":
            x = x.max_pool2d(2)
        elif kind == "flatten":
            x = x.flatten(1)
        elif kind == "dropout":
            x = x.dropout(arguments[0])
    return x
