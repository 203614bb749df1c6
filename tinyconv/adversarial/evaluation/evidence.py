"""What the checklist looks at: a model seen from many sides, each measured once and when needed."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ...autograd import no_grad
from ...ops import as_tensor
from ..attacks.apgd import apgd
from ..attacks.fgsm import fgsm
from ..attacks.hop_skip_jump import hop_skip_jump
from ..attacks.noise import noise
from ..attacks.pgd import pgd
from ..attacks.spatial import spatial
from ..attacks.square import square
from ..isolation import isolated
from ..losses import cross_entropy, margin
from ..problem import Problem, radius
from ..result import AttackResult
from .curves import errors

#: How much is done: steps of PGD, restarts, steps of APGD and of each target, queries of Square,
#: draws of noise, steps of HopSkipJump.
EFFORTS = {
    "quick": {"steps": 20, "restarts": 2, "auto": 30, "targets": 15, "queries": 400, "draws": 100,
              "labels": 8},
    "full": {"steps": 50, "restarts": 10, "auto": 100, "targets": 100, "queries": 5000,
             "draws": 10_000, "labels": 40},
}  # fmt: skip


class Evidence:
    """Measurements of one model on one set of samples."""

    def __init__(
        self, model: Any, x: Any, y: Any, *, eps: float, norm: str,
        bounds: tuple[float, float], seed: int, effort: str, substitute: Any, undefended: Any,
    ) -> None:  # fmt: skip
        self.model, self.x, self.y = model, as_tensor(x).detach(), as_tensor(y)
        self.eps, self.norm, self.bounds, self.seed = eps, norm, bounds, seed
        self.amount = EFFORTS[effort]
        self.substitute, self.undefended = substitute, undefended
        self._head: dict[str, Any] = {"bounds": bounds, "seed": seed}

    def __len__(self) -> int:
        return len(self.x)

    @property
    def tolerance(self) -> float:
        """A difference in accuracy that may be chance: two hundredths, or one sample."""
        return max(0.02, 1 / len(self)) + 1e-9  # shares are rounded

    # -- the model by itself ----------------------------------------------------------------

    @cached_property
    def logits(self) -> Any:
        """Logits of the clean images."""
        with isolated(self.model, self.seed), no_grad():
            return self.model(self.x)

    @cached_property
    def repeated_logits(self) -> Any:
        """The same from two passes one after the other: those of the second."""
        with isolated(self.model, self.seed), no_grad():
            self.model(self.x)
            return self.model(self.x)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.logits.shape[1])

    @cached_property
    def right(self) -> np.ndarray:
        """Which clean images are classified rightly."""
        return np.asarray((margin(self.logits, self.y) <= 0).numpy(force=True))

    @property
    def accuracy(self) -> float:
        """Clean accuracy."""
        return float(self.right.mean())

    @cached_property
    def certain(self) -> np.ndarray:
        """Where the probability of the true class is 1 in the precision of the logits."""
        return np.asarray((cross_entropy(self.logits, self.y) == 0).numpy(force=True))

    @cached_property
    def spread(self) -> np.ndarray:
        """Distance of the true logit from the best other one."""
        return np.abs(margin(self.logits, self.y).numpy(force=True))

    @cached_property
    def slopes(self) -> Any:
        """Gradients of the cross-entropy at the clean images."""
        with isolated(self.model, self.seed):
            return self._problem().gradient(self.x, cross_entropy)[1]

    @cached_property
    def slope_errors(self) -> np.ndarray:
        """Where the gradient of the margin fails to foretell a small step along its sign.

        True where the margin rises by less than a fifth of what the gradient says, over a step of a
        twentieth of the radius to both sides. Judged only where there is a gradient.
        """
        problem = self._problem()
        with isolated(self.model, self.seed):
            slope = problem.gradient(self.x, margin)[1]
            size = slope.abs().reshape(len(self), -1)
            step = 0.05 * self._linf_radius
            direction = slope.sign()
            ahead = margin(problem.logits(self.x + step * direction), self.y)
            behind = margin(problem.logits(self.x - step * direction), self.y)
        foretold = (size.sum(1) * 2 * step).numpy(force=True)
        seen = (ahead - behind).numpy(force=True)
        return np.asarray((foretold > 0) & ~(seen > 0.2 * foretold))

    @property
    def _linf_radius(self) -> float:
        """The radius as a change of every value: that of a full-length step in all directions."""
        count = self.x[0].numel()
        return {"linf": self.eps, "l2": self.eps / count**0.5, "l1": self.eps / count}[self.norm]

    def _problem(self) -> Problem:
        eps = radius("sanity_report", self.eps, self.x, self.norm)
        return Problem(
            self.model, self.x, self.y, attack="sanity_report", norm=self.norm, eps=eps,
            bounds=self.bounds, seed=self.seed,
        )  # fmt: skip

    # -- attacks within the radius ----------------------------------------------------------

    def _run(self, attack: Any, eps: float | None = None, **arguments: Any) -> AttackResult:
        result: AttackResult = attack(
            self.model, self.x, self.y, eps=self.eps if eps is None else eps, norm=self.norm,
            **self._head, **arguments,
        )  # fmt: skip
        return result

    @cached_property
    def single_step(self) -> AttackResult:
        """FGSM."""
        return self._run(fgsm)

    @cached_property
    def iterative(self) -> AttackResult:
        """PGD on the cross-entropy."""
        return self._run(pgd, steps=self.amount["steps"])

    @cached_property
    def more_steps(self) -> AttackResult:
        """PGD with twice the steps."""
        return self._run(pgd, steps=2 * self.amount["steps"])

    @cached_property
    def few_restarts(self) -> AttackResult:
        """PGD on the margin with restarts."""
        return self._run(
            pgd, steps=self.amount["steps"], restarts=self.amount["restarts"], loss="margin"
        )

    @cached_property
    def more_restarts(self) -> AttackResult:
        """PGD on the margin with twice the restarts."""
        return self._run(
            pgd, steps=self.amount["steps"], restarts=2 * self.amount["restarts"], loss="margin"
        )

    @cached_property
    def other_losses(self) -> list[AttackResult]:
        """Auto-PGD on losses that no scale of the logits can hide."""
        losses = ["margin", "dlr"] if self.classes > 2 else ["margin"]
        return [self._run(apgd, steps=self.amount["auto"], loss=loss) for loss in losses]

    @cached_property
    def towards_targets(self) -> AttackResult:
        """Auto-PGD towards each of the likeliest classes."""
        return self._run(
            apgd, steps=self.amount["targets"], n_target_classes=min(9, self.classes - 1),
            loss="dlr" if self.classes > 3 else "margin",
        )  # fmt: skip

    @cached_property
    def averaged(self) -> AttackResult:
        """PGD with the gradient averaged over ten passes."""
        return self._run(pgd, steps=self.amount["steps"], eot=10)

    @cached_property
    def wider(self) -> AttackResult:
        """PGD within twice the radius."""
        return self._run(pgd, eps=2 * self.eps, steps=self.amount["steps"])

    @cached_property
    def unlimited(self) -> AttackResult:
        """PGD that may make the image anything."""
        span, count = self.bounds[1] - self.bounds[0], self.x[0].numel()
        eps = {"linf": span, "l2": span * count**0.5, "l1": span * count}[self.norm]
        return self._run(pgd, eps=eps, steps=2 * self.amount["steps"], loss="margin")

    @cached_property
    def scores(self) -> AttackResult | None:
        """Square, which sees scores alone; there is none for the L1 norm."""
        return None if self.norm == "l1" else self._run(square, steps=self.amount["queries"])

    @cached_property
    def labels(self) -> np.ndarray | None:
        """Where HopSkipJump, which sees labels alone, succeeds within the radius."""
        if self.norm == "l1":
            return None
        result = hop_skip_jump(
            self.model, self.x, self.y, norm=self.norm, steps=self.amount["labels"], **self._head
        )
        return result.success & (result.norm[self.norm] <= self.eps)

    @cached_property
    def random(self) -> AttackResult:
        """Random points of the ball."""
        return self._run(noise, draws=self.amount["draws"])

    @cached_property
    def moved(self) -> AttackResult:
        """The worst rotation by up to 30 degrees and shift by up to a tenth of the side.

        Those of Engstrom et al. (2019), arXiv 1712.02779: 3 pixels of 28 and of 32.
        """
        shift = min(self.x.shape[-2:]) / 10
        return spatial(self.model, self.x, self.y, translation=shift, **self._head)

    @cached_property
    def noisy_accuracy(self) -> float:
        """Accuracy under Gaussian noise with a standard deviation of a tenth of the range."""
        problem = self._problem()
        level = 0.1 * (self.bounds[1] - self.bounds[0])
        x = self.x + level * problem.normal(*self.x.shape[1:])
        return float(1 - errors(self.model, x.clamp(*self.bounds), self.y).mean())

    def transferred(self, source: Any) -> np.ndarray:
        """Which samples fall to images that were made on another model."""
        images = pgd(
            source, self.x, self.y, eps=self.eps, norm=self.norm, steps=self.amount["steps"],
            stop="never", **self._head,
        ).x_adv  # fmt: skip
        return errors(self.model, images, self.y)

    def worst_of(self, model: Any) -> float:
        """Robust accuracy of another model under the same attacks on two losses."""
        broken = np.zeros(len(self), bool)
        for loss in ("ce", "margin"):
            broken |= apgd(
                model, self.x, self.y, eps=self.eps, norm=self.norm, loss=loss,
                steps=self.amount["auto"], **self._head,
            ).success  # fmt: skip
        return float(1 - broken.mean())

    @cached_property
    def white_box(self) -> np.ndarray:
        """Which samples fall to any of the attacks with gradients."""
        found = [self.iterative, self.more_restarts, *self.other_losses, self.towards_targets]
        return np.logical_or.reduce([result.success for result in found])

    @cached_property
    def worst(self) -> np.ndarray:
        """Which samples fall to any attack within the radius at all."""
        found = [self.white_box, self.single_step.success, self.random.success]
        found += [] if self.scores is None else [self.scores.success]
        found += [] if self.labels is None else [self.labels]
        return np.logical_or.reduce(found)
