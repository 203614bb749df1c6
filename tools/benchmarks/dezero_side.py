"""DeZero: a training step of a network without branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Peer:
    """DeZero on NumPy; its threads are those of BLAS."""

    name = "dezero"

    def __init__(self, threads: int) -> None:
        # Its last release, of 2021, asks for a name that NumPy dropped in 1.24.
        np.__dict__.setdefault("int", int)
        import dezero
        import dezero.functions
        import dezero.optimizers

        self.dezero = dezero

    def training(
        self, net: Any, layers: list, images: np.ndarray, labels: np.ndarray, weights: dict
    ) -> tuple[Callable[[], Any], Callable[[], dict[str, np.ndarray]]]:
        """Return a step and the probe of its loss."""
        dezero, F = self.dezero, self.dezero.functions
        holder = dezero.Layer()
        parameters = {}
        for name, array in weights.items():
            stored = array if array.ndim == 4 else np.ascontiguousarray(array.T)
            parameters[name] = dezero.Parameter(stored.copy())
            setattr(holder, "p" + name.replace(".", "_"), parameters[name])
        optimizer = dezero.optimizers.MomentumSGD(lr=1e-3, momentum=0.9).setup(holder)

        def forward() -> Any:
            x = dezero.Variable(images)
            for i, (kind, *arguments) in enumerate(layers):
                weight, bias = parameters.get(f"{i}.weight"), parameters.get(f"{i}.bias")
                if kind == "conv":
                    x = F.conv2d(x, weight, bias, 1, arguments[3])
                elif kind == "linear":
                    x = F.linear(x, weight, bias)
                elif kind == "relu":
                    x = F.relu(x)
                elif kind == "pool":
                    x = F.pooling(x, 2, 2)
                elif kind == "flatten":
                    x = F.reshape(x, (len(images), -1))
                elif kind == "dropout":
                    x = F.dropout(x, arguments[0])
            return F.softmax_cross_entropy(x, labels)

        def step() -> None:
            holder.cleargrads()
            forward().backward()
            optimizer.update()

        def probe() -> dict[str, np.ndarray]:
            with dezero.test_mode():
                return {"loss": forward().data}

        return step, probe
