"""JAX: a compiled training step of a network without branches, channels last."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np


class Peer:
    """JAX on the CPU."""

    name = "jax"

    def __init__(self, threads: int) -> None:
        os.environ["NPROC"] = str(threads)  # XLA's thread pools
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax

        self.jax = jax

    def training(
        self, net: Any, layers: list, images: np.ndarray, labels: np.ndarray, weights: dict
    ) -> tuple[Callable[[], Any], Callable[[], dict[str, np.ndarray]]]:
        """Return a step and the probe of its loss."""
        jax, jnp = self.jax, self.jax.numpy
        parameters = {name: jnp.asarray(_stored(array)) for name, array in weights.items()}
        momentum = jax.tree.map(jnp.zeros_like, parameters)
        images, labels = jnp.asarray(images), jnp.asarray(labels)

        def loss(parameters: dict, key: Any, drop: bool) -> Any:
            logits = self._forward(layers, parameters, images, key if drop else None)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
            return -chosen.mean()

        def update(parameters: dict, momentum: dict, key: Any) -> tuple:
            key, now = jax.random.split(key)
            value, grads = jax.value_and_grad(loss)(parameters, now, True)
            momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, grads)
            parameters = jax.tree.map(lambda p, m: p - 1e-3 * m, parameters, momentum)
            return parameters, momentum, key, value

        compiled = jax.jit(update, donate_argnums=(0, 1))
        before = float(loss(parameters, None, False))  # the step gives its arguments away
        state = [parameters, momentum, jax.random.key(0)]

        def step() -> None:
            *state[:], value = compiled(*state)
            value.block_until_ready()

        return step, lambda: {"loss": np.array(before)}

    def _forward(self, layers: list, parameters: dict, x: Any, key: Any) -> Any:
        """Return the logits; drops nothing without a key."""
        jax, jnp = self.jax, self.jax.numpy
        x = x.transpose(0, 2, 3, 1)
        for i, (kind, *arguments) in enumerate(layers):
            weight, bias = parameters.get(f"{i}.weight"), parameters.get(f"{i}.bias")
            if kind == "conv":
                x = bias + jax.lax.conv_general_dilated(
                    x, weight, (1, 1), [(arguments[3],) * 2] * 2,
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )  # fmt: skip
            elif kind == "linear":
                x = x @ weight + bias
            elif kind == "relu":
                x = jax.nn.relu(x)
            elif kind == "pool":
                window = (1, 2, 2, 1)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
            elif kind == "flatten":
                x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
            elif kind == "dropout" and key is not None:
                kept = 1 - arguments[0]
                x = jnp.where(jax.random.bernoulli(key, kept, x.shape), x / kept, 0)
        return x


def _stored(array: np.ndarray) -> np.ndarray:
    """Return a weight in the order of axes that JAX prefers: HWIO, or inputs before outputs."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
