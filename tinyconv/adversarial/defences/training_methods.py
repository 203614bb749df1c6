"""What adversarial training minimises: one class a method, each a loss of a batch.

They share a head: ``eps``, and where images may lie. :class:`AdversarialTrainer` runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autograd import autocast
from ...errors import ArgumentError
from ...nn import functional as F
from ...ops import cat, full_like, randint
from .. import geometry, losses
from ..attacks.pgd import check_schedule, check_steps
from ..isolation import isolated
from ..problem import Problem, radius
from ..running import check_bounds, check_classes, check_images
from .interval import interval_loss


class TrainingMethod:
    """A way to train against perturbations; a subclass defines ``loss``.

    Attributes
    ----------
    eps : float or array
        Radius of the ball.
    norm : str
        Its norm.
    bounds : (float, float)
        The smallest and the largest legal value of an image.
    replays : int
        Updates of the parameters with one batch.
    """

    replays = 1

    def __init__(self, eps: Any, norm: str, bounds: tuple[float, float]) -> None:
        self.name = type(self).__name__
        self.norm = geometry.check_norm(self.name, norm)
        self.eps, self.bounds = eps, bounds

    def loss(self, model: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the loss to descend, and the logits whose accuracy training shows."""
        raise AttributeError(f"{self.name} defines no loss()")

    def after_update(self) -> None:
        """Do what is to be done between two updates; nothing by default."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a later run needs to go on; nothing by default."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state from :meth:`state_dict`."""

    def _check(self, x: Any, y: Any) -> tuple[Any, Any]:
        x = check_images(self.name, x)
        check_bounds(self.name, self.bounds, x)
        return x, check_classes(self.name, y, x)


class PGDTraining(TrainingMethod):
    """The cross-entropy of the images that PGD finds, in place of the clean ones.

    Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks", arXiv
    1706.06083. All samples are attacked, those that are wrong already, too, and the last step
    counts. The accuracy that training shows is that on the attacked images. With a radius that is
    large for the data, random weights may never leave the accuracy of guessing: begin with a model
    that was trained plainly, or with a smaller radius.

    Parameters
    ----------
    eps : float or array
        Radius, as for :func:`fgsm`.
    norm : str, default "linf"
        ``"linf"``, ``"l2"`` or ``"l1"``.
    steps : int, default 10
        Gradient steps a batch, each a forward and a backward pass.
    step_size : float, optional
        Default ``2.5 * eps / steps``.
    random_start : bool, default True
        Start at a random point of the ball, else at the clean image.
    bounds : (float, float), default (0, 1)
        The smallest and the largest legal value of an image.
    model_mode : str, default "eval"
        Mode of the model during the attack: ``"as_is"`` is that of training, with the dropout and
        the batch statistics of it (running statistics stay as they are).

    Raises
    ------
    ArgumentError
        If an argument is not as above.
    """

    def __init__(
        self,
        eps: Any,
        *,
        norm: str = "linf",
        steps: int = 10,
        step_size: float | None = None,
        random_start: bool = True,
        bounds: tuple[float, float] = (0, 1),
        model_mode: str = "eval",
    ) -> None:
        super().__init__(eps, norm, bounds)
        check_schedule(self.name, step_size, "never", steps=steps)
        self.steps, self.step_size, self.random_start = steps, step_size, random_start
        self.model_mode = model_mode

    def loss(self, model: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the cross-entropy at the attacked images, and their logits."""
        x, y = self._check(x, y)
        logits = model(self.attack(model, x, y))
        return F.cross_entropy(logits, y), logits

    def attack(self, model: Any, x: Any, y: Any) -> Any:
        """Return the attacked images; the global random numbers give the seed of the attack.

        The model is float32 here, under autocast, too.
        """
        seed = int(randint(2**32, ()).item())
        with isolated(model, seed, self.model_mode), autocast(x.device.type, enabled=False):
            problem = Problem(
                model, x, y, attack=self.name, norm=self.norm, bounds=self.bounds, seed=seed,
                eps=radius(self.name, self.eps, x, self.norm),
            )  # fmt: skip
            found, goal = self.start(problem), self.goal(problem)
            length = problem.eps * (2.5 / self.steps)
            if self.step_size is not None:
                length = full_like(length, self.step_size)
            for _ in range(self.steps):
                _, slope, _ = problem.gradient(found, goal)
                step = geometry.steepest(slope, found, length, self.norm, self.bounds)
                found = problem.project(found + step)
        return found

    def start(self, problem: Problem) -> Any:
        """Return where the attack starts."""
        return problem.start(0) if self.random_start else problem.x

    def goal(self, problem: Problem) -> Callable[[Any, Any], Any]:
        """Return what the attack makes larger."""
        return losses.cross_entropy


class FastTraining(PGDTraining):
    """One large step from a random start: the cost of two plain updates.

    Wong, Rice and Kolter (2020), "Fast is better than free", arXiv 2001.03994. Watch the accuracy
    under PGD: after some epochs it may fall to nothing at once ("catastrophic overfitting"), which
    :class:`AdversarialTrainer` reports.

    Parameters
    ----------
    eps : float
        Radius in the linf norm.
    step_size : float, optional
        Default ``1.25 * eps``.
    bounds, model_mode
        As for :class:`PGDTraining`.
    """

    def __init__(
        self,
        eps: float,
        *,
        step_size: float | None = None,
        bounds: tuple[float, float] = (0, 1),
        model_mode: str = "eval",
    ) -> None:
        step_size = 1.25 * eps if step_size is None else step_size
        super().__init__(eps, steps=1, step_size=step_size, bounds=bounds, model_mode=model_mode)


class FreeTraining(TrainingMethod):
    """Each batch is replayed, and one backward pass moves both the weights and the perturbation.

    Shafahi et al. (2019), "Adversarial training for free!", arXiv 1904.12843. The perturbation goes
    on from batch to batch. Train for ``1 / replays`` of the usual number of epochs.

    Parameters
    ----------
    eps : float
        Radius in the linf norm, and the size of the perturbation's steps.
    replays : int, default 8
        Updates a batch: m in the paper.
    bounds : (float, float), default (0, 1)
        As for :class:`PGDTraining`.
    """

    def __init__(
        self, eps: float, *, replays: int = 8, bounds: tuple[float, float] = (0, 1)
    ) -> None:
        super().__init__(eps, "linf", bounds)
        check_steps(self.name, replays=replays)
        self.replays = replays
        self._noise: Any = None  # one perturbation for each place in a batch
        self._attacked: Any = None  # images of the last update, whose gradient moves the noise

    def loss(self, model: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the cross-entropy at the perturbed images, and their logits."""
        x, y = self._check(x, y)
        known = 0 if self._noise is None else len(self._noise)
        if known < len(x):
            new = x.new_zeros((len(x) - known, *x.shape[1:]))
            self._noise = cat([self._noise, new]) if known else new
        moved = geometry.clip(x + self._noise[: len(x)], self.bounds)
        self._attacked = moved.detach().requires_grad_()
        logits = model(self._attacked)
        return F.cross_entropy(logits, y), logits

    def after_update(self) -> None:
        """Move the perturbation along the sign of the gradient."""
        slope, self._attacked = self._attacked.grad, None
        n, eps = len(slope), float(self.eps)
        moved = (self._noise[:n] + slope.sign() * eps).clamp(-eps, eps)
        self._noise = cat([moved, self._noise[n:]])

    def state_dict(self) -> dict[str, Any]:
        """Return the perturbation."""
        return {} if self._noise is None else {"noise": self._noise}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a perturbation."""
        self._noise = state.get("noise")


class IntervalTraining(TrainingMethod):
    """A bound of the loss of every image in the ball; see :func:`interval_loss`.

    Gowal et al. (2018), arXiv 1810.12715: after ``warmup`` updates of plain training, ``ramp``
    updates move the radius from 0 to ``eps`` and the weight of the clean loss from 1 to ``kappa``.
    The accuracy that training shows is the clean one.

    Parameters
    ----------
    eps : float or array
        Radius in the linf norm, at last.
    kappa : float, default 0.5
        Weight of the clean loss, at last; from 0 to 1.
    warmup : int, default 0
        Updates before the radius grows.
    ramp : int, default 1000
        Updates in which it does.
    bounds : (float, float), default (0, 1)
        As for :class:`PGDTraining`.
    """

    def __init__(
        self,
        eps: Any,
        *,
        kappa: float = 0.5,
        warmup: int = 0,
        ramp: int = 1000,
        bounds: tuple[float, float] = (0, 1),
    ) -> None:
        super().__init__(eps, "linf", bounds)
        check_steps(self.name, ramp=ramp)
        if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
            raise ArgumentError(
                f"{self.name}: argument 'warmup' must be an int of at least 0, got {warmup!r}"
            )
        if not 0 <= kappa <= 1:
            raise ArgumentError(f"{self.name}: argument 'kappa' must be from 0 to 1, got {kappa!r}")
        self.kappa, self.warmup, self.ramp = kappa, warmup, ramp
        self.updates = 0

    @property
    def progress(self) -> float:
        """How much of the way to ``eps`` and ``kappa`` is done, from 0 to 1."""
        return min(max((self.updates - self.warmup) / self.ramp, 0.0), 1.0)

    def loss(self, model: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Return the mixture of the clean and the worst cross-entropy, and the clean logits."""
        x, y = self._check(x, y)
        logits = model(x)
        share = self.progress
        eps = radius(self.name, self.eps, x, "linf") * share
        kappa = 1 - (1 - self.kappa) * share
        return interval_loss(model, x, y, eps, kappa, self.bounds, logits=logits), logits

    def after_update(self) -> None:
        """Count the update."""
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates."""
        return {"updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a number of updates."""
        self.updates = state["updates"]
