"""The fast minimum-norm attack: gradient steps in a ball that shrinks onto the border."""

from __future__ import annotations

from typing import Any

from ...errors import ArgumentError
from ..best import Smallest
from ..geometry import NORMS
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .class_by_class import class_by_class
from .pgd import check_steps
from .shrinking_ball import LAST_GAMMA, Plan, close_in


def fmn(
    model: Any,
    x: Any,
    y: Any,
    *,
    norm: str = "l2",
    steps: int = 200,
    step_size: float = 1.0,
    gamma: float = 0.05,
    n_target_classes: int | None = 9,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with gradient steps within a ball whose radius shrinks at each success.

    Pintor et al. (2021), "Fast minimum-norm adversarial attacks through adaptive norm constraints",
    arXiv 2102.12827, algorithm 1. Few gradients and little to tune: a good first choice for a least
    perturbation. From the clean image, each step goes along the gradient of the margin, then
    into a ball of radius ``eps`` and into the box. Until the first success ``eps`` is the distance
    to the linearised border; then it becomes smaller by a share of ``gamma`` where the last image
    is a success, else larger (for ``"l0"`` by at least one value). Both step and share fall with
    half a cosine. The smallest success is returned.

    Differences from the paper: before the first success, too, ``eps`` is larger by the share (the
    linearised border alone may be neared from within for ever, where the true one is curved or the
    box cuts a step short); in L1 and L2 the projection is onto ball and box together; and the
    search is for single classes. In the paper it is for whichever is second at the moment, and ends
    at the border that is met first: for one in five of a LeNet's digits another one is nearer, by
    up to two fifths. Here ten steps towards each of ``n_target_classes`` compare them, 40 steps
    those that seem nearest, and ``steps`` steps go towards those that still do: about twice as many
    passes with ten classes, and three times as many for ``"l0"``.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "l2"
        ``"l2"``, ``"linf"``, ``"l1"`` or ``"l0"``: what to keep small.
    steps : int, default 200
        Gradient steps towards a class.
    step_size : float, default 1.0
        Length of the first step in the L2 norm, for every ``norm``; the last is a hundredth.
    gamma : float, default 0.05
        The first change of the radius, between 0.001, which is the last, and 1.
    n_target_classes : int, optional
        How many other classes are compared, those with the largest logits at the clean image;
        default 9. ``None``: none, as in the paper, with one gradient a step. Without effect if
        ``targeted``.

    Returns
    -------
    AttackResult
        ``eps_used`` is the norm of the perturbation; the clean image where none was found.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError, GradientError
        As for :func:`fgsm`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    >>> x = tc.full((1, 1, 2, 2), 0.5)
    >>> result = tc.adversarial.fmn(model, x, tc.tensor([0]), bounds=(-1, 1))
    >>> round(float(result.norm["l2"][0]), 2)  # the least is 1
    1.0
    """
    arguments = dict(locals())
    check_steps("fmn", steps=steps)
    if not 0 < step_size < float("inf"):
        raise ArgumentError(
            f"fmn: argument 'step_size' must be positive and finite, got {step_size!r}"
        )
    if not LAST_GAMMA <= gamma < 1:
        raise ArgumentError(f"fmn: argument 'gamma' must be from 0.001 to below 1, got {gamma!r}")
    if n_target_classes is not None:
        check_steps("fmn", n_target_classes=n_target_classes)
    plan = Plan(steps, step_size, gamma)

    def search(problem: Problem, best: Smallest) -> None:
        close_in(problem, best, plan)

    def solve(problem: Problem) -> tuple[Any, None]:
        best = Smallest(problem.x, norm)
        if targeted or n_target_classes is None:
            search(problem, best)
        else:
            class_by_class(problem, best, search, n_target_classes)
        return best.x, None

    return run("fmn", solve, arguments, norms=NORMS)
