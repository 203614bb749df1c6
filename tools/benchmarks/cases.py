"""The cases: what is set up on each side, what is timed, and on what the sides must agree.

``case.make(side, weights)`` returns a :class:`Task`. The first side draws the weights, the others
load them; data come from a generator with a fixed seed. Before anything is timed, the probes of
all sides are compared: a fast wrong result is worth nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .layers import LAYERS, UPDATES, Layer, Update
from .nets import NETS, PLAIN, Net
from .sides import Side, Torch

Arrays = dict[str, np.ndarray]


@dataclass
class Task:
    """A case, set up on one side.

    Parameters
    ----------
    step : callable
        Does once what is timed.
    probe : callable
        Returns the results on which all sides must agree.
    weights : callable
        Returns the weights for the other sides, before anything ran.
    """

    step: Callable[[], Any]
    probe: Callable[[], Arrays] = dict
    weights: Callable[[], Arrays | None] = lambda: None


class Case:
    """Something to time: a name, a group, whether it is quick, and how to set it up."""

    group: str
    name: str
    quick = False
    note = ""
    #: Whether libraries with names of their own can do it too.
    suits_peers = False
    #: Largest error of a result, as a share of its norm; and of some results by name.
    tolerance = 1e-3
    tolerances: dict[str, float] = {}

    def make(self, side: Side, weights: Arrays | None = None) -> Task:
        """Set the case up on a side."""
        raise NotImplementedError

    def suits(self, side: Side) -> bool:
        """Return whether the case makes sense on a side."""
        return True


# -- networks -----------------------------------------------------------------------------------


def batch(net: Net) -> tuple[np.ndarray, np.ndarray]:
    """Return images of standard normal pixels and labels at random."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal(net.images, dtype=np.float32)
    return images, rng.integers(0, net.classes, net.labels)


@contextmanager
def without_dropout(module: Any) -> Iterator[None]:
    """Drop nothing inside the block: two libraries never drop the same units."""
    layers = [m for m in module.modules() if type(m).__name__ == "Dropout"]
    rates = [layer.p for layer in layers]
    try:
        for layer in layers:
            layer.p = 0.0
        yield
    finally:
        for layer, rate in zip(layers, rates, strict=True):
            layer.p = rate


class Training(Case):
    """A training step: zero gradients, forward, cross-entropy, backward, SGD with momentum."""

    group = "training"
    # Rounding turns a ReLU over here and there: PyTorch's two modes are 3e-2 apart in the
    # gradients of ResNet-50 with its batch of 4. Layers are strict.
    tolerances = {"loss": 1e-4, "gradients": 0.1, "update": 0.1, "loss after a step": 1e-4}
    #: Gradients of the step whose loss is compared, in units of the weights.
    given = 500.0

    def __init__(self, net: Net) -> None:
        self.net, self.name, self.quick = net, net.name, net.quick
        self.suits_peers = net.name in PLAIN

    def make(self, side: Any, weights: Arrays | None = None) -> Task:
        """Set up model, data, loss and optimizer."""
        if not isinstance(side, Side):
            return Task(*side.training(self.net, PLAIN[self.name], *batch(self.net), weights))
        lib = side.lib
        model = side.load(self.net.build(lib), weights)
        images, labels = (side.tensor(array) for array in batch(self.net))
        loss = lib.nn.CrossEntropyLoss()

        def new_optimizer() -> Any:
            # A small rate: the same batch again and again must neither diverge nor be learned by
            # heart, since arithmetic with NaN, or with gradients that vanish, takes another time.
            return lib.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

        optimizer = new_optimizer()

        def step() -> Any:
            optimizer.zero_grad()
            value = loss(model(images), labels)
            value.backward()
            optimizer.step()
            return value

        def probe() -> Arrays:
            start = [np.array(p.detach().numpy()) for p in model.parameters()]
            with without_dropout(model):
                before = step().item()
                gradients = [np.ravel(p.grad.numpy()) for p in model.parameters()]
                pairs = zip(model.parameters(), start, strict=True)
                moves = [np.ravel(p.detach().numpy() - weight) for p, weight in pairs]
                after = loss_after_given_step(start).item()
            optimizer.zero_grad()
            return {
                "loss": np.array(before),
                "gradients": np.concatenate(gradients),
                "update": np.concatenate(moves),
                "loss after a step": np.array(after),
            }

        def loss_after_given_step(start: list[np.ndarray]) -> Any:
            """Return the loss after a step from the weights ``start``, which it leaves.

            The gradients are the same on all sides: two that differ by rounding would lead apart.
            """
            put_back(start)
            for parameter, weight in zip(model.parameters(), start, strict=True):
                turned = np.ravel(weight)[::-1].reshape(weight.shape)
                parameter.grad = lib.from_numpy(turned * np.float32(self.given))
            new_optimizer().step()
            with lib.no_grad():
                result = loss(model(images), labels)
            put_back(start)
            return result

        def put_back(start: list[np.ndarray]) -> None:
            with lib.no_grad():
                for parameter, weight in zip(model.parameters(), start, strict=True):
                    parameter.copy_(lib.from_numpy(weight))

        return Task(step, probe, lambda: side.weights(model))


class Inference(Case):
    """A forward pass in evaluation mode that records no graph."""

    group = "inference"

    def __init__(self, net: Net) -> None:
        self.net, self.name, self.quick = net, net.name, net.quick

    def make(self, side: Side, weights: Arrays | None = None) -> Task:
        """Set up model and data."""
        model = side.load(self.net.build(side.lib), weights)
        model.eval()
        images = side.tensor(batch(self.net)[0])

        def step() -> Any:
            with side.lib.inference_mode():
                logits = model(images)
            look_at(logits)
            return logits

        return Task(step, lambda: {"logits": step().numpy()}, lambda: side.weights(model))


# -- layers -------------------------------------------------------------------------------------


def layer_inputs(layer: Layer) -> list[np.ndarray]:
    """Return standard normal inputs, and labels last if the layer takes labels."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape, dtype=np.float32) for shape in layer.inputs]
    if layer.classes:
        arrays[-1] = rng.integers(0, layer.classes, layer.inputs[-1])
    return arrays


def look_at(output: Any) -> None:
    """Have a library compute a result that it has put off; a NumPy view of it costs nothing."""
    output.detach().numpy()


class Forward(Case):
    """A layer's forward pass that records no graph, in training mode."""

    group = "forward"

    def __init__(self, layer: Layer) -> None:
        self.layer, self.name, self.note = layer, layer.name, layer.note

    def suits(self, side: Side) -> bool:
        """Return whether the mode of the side applies to these inputs."""
        return side.suits(len(self.layer.inputs[0]))

    def make(self, side: Side, weights: Arrays | None = None) -> Task:
        """Set up layer and inputs."""
        function = self.layer.build(side.lib)
        is_module = hasattr(function, "parameters")
        if is_module:
            function = side.load(function, weights)
        inputs = [side.tensor(array, self.layer.first) for array in layer_inputs(self.layer)]
        step, results = self.steps(side, function, inputs)
        return Task(
            step,
            dict if self.layer.random else results,
            lambda: side.weights(function) if is_module else None,
        )

    def steps(
        self, side: Side, function: Any, inputs: list[Any]
    ) -> tuple[Callable[[], Any], Callable[[], Arrays]]:
        """Return what is timed, and what returns its results."""

        def step() -> Any:
            with side.lib.no_grad():
                output = function(*inputs)
            look_at(output)
            return output

        return step, lambda: {"output": step().numpy()}


class ForwardBackward(Forward):
    """A layer's forward and backward pass, with gradients of parameters and inputs."""

    group = "forward + backward"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.quick = layer.quick

    def steps(
        self, side: Side, function: Any, inputs: list[Any]
    ) -> tuple[Callable[[], Any], Callable[[], Arrays]]:
        """Return what is timed, and what returns its results."""
        wanted = list(function.parameters()) if hasattr(function, "parameters") else []
        if not self.layer.first:
            wanted += [x.requires_grad_() for x in inputs if x.is_floating_point()]
        shape = tuple(function(*inputs).shape)
        grad = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
        # The gradient of the output comes from a layer behind, in the memory format of images.
        upstream = side.tensor(grad, first=False)

        def step() -> Any:
            for x in wanted:
                x.grad = None
            output = function(*inputs)
            look_at(output)
            output.backward(upstream)
            return output

        def results() -> Arrays:
            output = step()
            found = {f"gradient {i}": x.grad.numpy() for i, x in enumerate(wanted)}
            return {"output": output.detach().numpy(), **found}

        return step, results


class Optimizer(Case):
    """A step of an optimizer over all parameters of a network."""

    group = "optimizer"

    def __init__(self, update: Update) -> None:
        self.update, self.name, self.quick = update, update.name, update.quick

    def suits(self, side: Side) -> bool:
        """Return whether the side is a library in its default mode."""
        return side.suits(0)

    def make(self, side: Side, weights: Arrays | None = None) -> Task:
        """Set up parameters with gradients, and the optimizer."""
        model = side.load(self.update.net(side.lib), weights)
        rng = np.random.default_rng(0)
        for p in model.parameters():
            p.grad = side.tensor(rng.standard_normal(tuple(p.shape), dtype=np.float32))
        rival = self.update.rival_options if isinstance(side, Torch) else {}
        make = getattr(side.lib.optim, self.update.optimizer)
        optimizer = make(model.parameters(), **self.update.options, **rival)

        def probe() -> Arrays:
            start = [p.detach().numpy().copy() for p in model.parameters()]
            optimizer.step()
            moved = zip(model.parameters(), start, strict=True)
            return {"update": np.concatenate([np.ravel(p.detach().numpy() - s) for p, s in moved])}

        return Task(optimizer.step, probe, lambda: side.weights(model))


# -- all of them --------------------------------------------------------------------------------


def all_cases(lib: Any = None) -> list[Case]:
    """Return every case; without layers that ``lib`` lacks, where a library is given."""
    layers = LAYERS
    if lib is not None and not hasattr(lib.nn, "Upsample"):
        layers = [layer for layer in layers if not layer.name.startswith("upsample")]
    kinds: list[tuple[Any, list[Any]]] = [
        (Training, NETS), (Inference, NETS), (Forward, layers), (ForwardBackward, layers),
        (Optimizer, UPDATES),
    ]  # fmt: skip
    return [kind(thing) for kind, things in kinds for thing in things]


def select(cases: list[Case], pattern: str = "", quick: bool = False) -> list[Case]:
    """Return the cases whose ``group: name`` contains a regular expression, in any letter case."""
    found = re.compile(pattern, re.IGNORECASE)
    return [
        case for case in cases
        if found.search(f"{case.group}: {case.name}") and (case.quick or not quick)
    ]  # fmt: skip


def disagreement(case: Case, expected: Arrays, got: Arrays) -> str:
    """Return in words where two probes differ by more than the tolerance; "" if nowhere."""
    for name in expected.keys() & got.keys():
        a, b = (np.asarray(x, np.float64) for x in (expected[name], got[name]))
        if a.shape != b.shape:
            return f"{name} has shape {b.shape} instead of {a.shape}"
        error = np.linalg.norm(np.ravel(a - b)) / max(np.linalg.norm(np.ravel(a)), 1e-30)
        if not error <= case.tolerances.get(name, case.tolerance):
            return f"{name} differs by {error:.1e} of its norm"
    return ""


def set_up(case: Case, sides: dict[str, Any], errors: dict[str, str]) -> dict[str, Task]:
    """Make the case on every side, with the same weights; a side that fails or disagrees drops."""
    tasks: dict[str, Task] = {}
    weights = expected = None
    for name, side in sides.items():
        try:
            task = case.make(side, weights)
            if weights is None:
                weights = task.weights()
            found = task.probe()
            expected = expected or found
            if wrong := disagreement(case, expected, found):
                raise ValueError(f"another result than {next(iter(tasks))}: {wrong}")
            tasks[name] = task
        except Exception as error:  # a case may fail in any way, and the others still run
            errors[name] = in_words(error)
    return tasks


def in_words(error: Exception) -> str:
    """Return an exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
