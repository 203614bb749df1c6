"""The attacks as rows of a table, and small models with known answers to try them on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import adversarial, nn


@dataclass(frozen=True)
class AttackCase:
    """How to run an attack quickly, and what it can do.

    ``within`` tells a radius for attacks that take one (None: it looks for the least
    perturbation), and ``radius`` what the attack calls it. ``more`` names an argument of which more
    never hurts, with two values. ``least``: a failure is the clean image, for attacks without a
    radius. ``flat``: vectors will do, in the place of images. ``coupled``: why a sample's result
    depends on the other ones.
    """

    attack: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    norms: tuple[str, ...] = ("linf", "l2", "l1")
    within: dict[str, float] | None = field(
        default_factory=lambda: {"linf": 0.1, "l2": 0.5, "l1": 1.0, "l0": 4.0}
    )
    targeted: bool = True
    masked: bool = True
    gradient: bool = True
    more: tuple[str, Any, Any] | None = None
    radius: str = "eps"
    least: bool = True
    flat: bool = True
    coupled: str = ""

    @property
    def name(self) -> str:
        return self.attack.__name__

    def run(self, model: Any, x: Any, y: Any, norm: str | None = None, **changes: Any) -> Any:
        """Run the attack with the arguments of the row, and others on top."""
        norm = self.norms[0] if norm is None else norm
        arguments = dict(self.arguments)
        if len(self.norms) > 1 or (self.within is not None and self.radius == "eps"):
            arguments["norm"] = norm
        if self.within is not None:
            arguments[self.radius] = self.within.get(norm, 1.0)
        if "eps" in changes:
            changes[self.radius] = changes.pop("eps")
        return self.attack(model, x, y, **{**arguments, **changes})


def shorten_auto_attack(patch: pytest.MonkeyPatch) -> None:
    """Give the parts of AutoAttack few steps."""
    module = sys.modules["tinyconv.adversarial.attacks.auto_attack"]
    for name, steps in (("apgd", 6), ("fab", 4), ("square", 30)):
        attack = getattr(adversarial, name)
        patch.setattr(module, name, wraps(attack)(partial(attack, steps=steps)))


@wraps(adversarial.auto_attack)
def short_auto_attack(*positional: Any, **named: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        shorten_auto_attack(patch)
        return adversarial.auto_attack(*positional, **named)


CASES = [
    AttackCase(adversarial.fgsm),
    AttackCase(adversarial.bim, {"steps": 4}),
    AttackCase(adversarial.pgd, {"steps": 4}, more=("restarts", 1, 3)),
    AttackCase(adversarial.apgd, {"steps": 6}, more=("restarts", 1, 3)),
    AttackCase(adversarial.mi_fgsm, {"steps": 4}, norms=("linf", "l2")),
    AttackCase(adversarial.ni_fgsm, {"steps": 4}, norms=("linf", "l2")),
    AttackCase(adversarial.di_fgsm, {"steps": 4}, norms=("linf", "l2"), flat=False),
    AttackCase(adversarial.ti_fgsm, {"steps": 4}, norms=("linf", "l2"), flat=False),
    AttackCase(adversarial.noise, {"draws": 10}, gradient=False, more=("draws", 5, 20)),
    AttackCase(
        adversarial.hop_skip_jump,
        {"steps": 3, "evaluations": 10},
        ("l2", "linf"),
        within=None,
        gradient=False,
        more=("steps", 2, 4),
    ),
    AttackCase(
        adversarial.boundary,
        {"steps": 30},
        ("l2",),
        within=None,
        gradient=False,
        more=("steps", 10, 40),
    ),
    AttackCase(
        adversarial.spsa,
        {"steps": 4, "samples": 6},
        ("linf", "l2"),
        gradient=False,
        more=("restarts", 1, 3),
    ),
    AttackCase(
        adversarial.zoo,
        {"steps": 10, "coordinates": 8, "search_steps": 2, "c": 1.0, "lr": 0.1},
        ("l2",),
        within=None,
        gradient=False,
        more=("search_steps", 1, 3),
    ),
    AttackCase(
        adversarial.jsma,
        {"theta": 0.5},
        ("l0",),
        within={"l0": 4},
        radius="max_pixels",
        more=("max_pixels", 2, 6),
    ),
    AttackCase(
        adversarial.one_pixel,
        {"population": 8, "steps": 4},
        ("l0",),
        within={"l0": 2},
        radius="pixels",
        gradient=False,
        more=("steps", 2, 6),
    ),
    AttackCase(
        adversarial.spatial,
        {"translation": 1, "angles": 3, "shifts": 3},
        ("linf",),
        within=None,
        gradient=False,
        least=False,
        flat=False,
    ),
    AttackCase(
        adversarial.universal,
        {"epochs": 3, "batch_size": 4},
        ("linf", "l2"),
        coupled="one perturbation is learned from all samples",
    ),
    AttackCase(
        adversarial.patch,
        {"size": 2, "rotation": 0, "scale": (1, 1), "epochs": 2},
        ("linf",),
        within=None,
        least=False,
        flat=False,
        coupled="one patch is learned from all samples",
    ),
    AttackCase(
        adversarial.square, {"steps": 20}, ("linf", "l2"), gradient=False, more=("restarts", 1, 3)
    ),
    AttackCase(
        adversarial.carlini_wagner,
        {"steps": 20, "binary_search_steps": 4, "initial_const": 0.1, "lr": 0.05},
        norms=("l2", "linf", "l0"),
        within=None,
        more=("binary_search_steps", 2, 5),
    ),
    AttackCase(
        adversarial.deepfool,
        norms=("l2", "linf", "l1"),
        within=None,
        targeted=False,
        more=("steps", 1, 9),
    ),
    AttackCase(
        adversarial.ead,
        {
            "steps": 20,
            "binary_search_steps": 4,
            "initial_const": 0.1,
            "lr": 0.05,
            "decision_rule": "l1",
        },
        norms=("l1",),
        within=None,
        more=("binary_search_steps", 2, 5),
    ),
    AttackCase(adversarial.fab, {"steps": 8}, within=None, more=("restarts", 1, 3)),
    AttackCase(adversarial.fmn, {"steps": 30}, norms=("l2", "linf", "l1", "l0"), within=None),
    AttackCase(short_auto_attack, norms=("linf", "l2"), targeted=False),
]


def images(n: int = 6, seed: int = 0, shape: tuple[int, ...] = (1, 4, 4)) -> Any:
    """Return float32 images in [0, 1], with some values at the bounds."""
    x = np.random.default_rng(seed).uniform(-0.2, 1.2, (n, *shape)).clip(0, 1)
    return tc.tensor(x.astype(np.float32))


def small_net(seed: int = 0, classes: int = 5, inputs: int = 16) -> nn.Module:
    """Return a small ReLU net with batch norm and dropout, in train mode."""
    tc.manual_seed(seed)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(12, classes),
    )  # fmt: skip
    for parameter in net.parameters():
        parameter.data.mul_(2.0)
    net[2].running_mean.copy_(tc.randn(12) * 0.1)
    return net


def predictions(model: Any, x: Any) -> Any:
    """Return the classes that the model gives in eval mode."""
    modes = [m.training for m in model.modules()]
    with tc.no_grad():
        y = model.eval()(x).argmax(1)
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    return y


def linear_net(seed: int = 0, classes: int = 2, inputs: int = 12) -> tuple[Any, Any, Any]:
    """Return a linear classifier (float64), its weights (K, D) and biases (K,)."""
    tc.manual_seed(seed)
    layer = nn.Linear(inputs, classes, dtype=tc.float64)
    net = nn.Sequential(nn.Flatten(), layer)
    return net, layer.weight.numpy(force=True), layer.bias.numpy(force=True)


DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def least_norms(weight: Any, bias: Any, x: Any, y: Any, norm: str) -> np.ndarray:
    """Return the exact least perturbation of a linear classifier, without a box.

    ``min_j margin_j / ||w_j - w_y||_q``, where q is the dual of the norm.
    """
    flat, y = x.reshape(len(x), -1).numpy(force=True), y.numpy(force=True)
    logits = flat @ weight.T + bias
    rows = np.arange(len(y))
    margins = logits[rows, y][:, None] - logits
    lengths = np.linalg.norm(weight[None] - weight[y][:, None], DUAL[norm], axis=2)
    lengths[rows, y] = 1.0
    margins[rows, y] = np.inf
    return (margins / lengths).min(1)
