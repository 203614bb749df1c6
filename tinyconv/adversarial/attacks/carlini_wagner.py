"""The attacks of Carlini and Wagner: the least perturbation, by Adam on the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..best import Smallest
from ..geometry import check_norm, column
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run
from .adam import Adam
from .class_by_class import class_by_class
from .constant_search import ConstantSearch, Settings, Stall
from .pgd import check_steps
from .tanh_space import TanhSpace
from .tightening import tighten

#: The first ``c`` and the length of a step in the authors' code.
DEFAULTS = {"l2": (1e-3, 1e-2), "linf": (1e-5, 5e-3), "l0": (1e-3, 1e-2)}


def carlini_wagner(
    model: Any,
    x: Any,
    y: Any,
    *,
    norm: str = "l2",
    steps: int = 1000,
    binary_search_steps: int = 9,
    initial_const: float | None = None,
    lr: float | None = None,
    confidence: float = 0.0,
    abort_early: bool = True,
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
    """Attack with the least perturbation that Adam finds, the box kept by a change of variables.

    Carlini and Wagner (2017), "Towards evaluating the robustness of neural networks", arXiv
    1608.04644, sections V and VI, with the constants of the authors' code. Slow and thorough. It
    minimises ``distance + c * max(confidence - margin, 0)``, where the margin is the largest other
    logit minus that of the true class (targeted: that of the target minus the largest other one).

    - ``"l2"``: the distance is the squared L2 norm. A search finds the least ``c`` that succeeds,
      for each sample: ten times as much until the first success, then bisection. Each round starts
      at the clean image, with a new Adam.
    - ``"linf"``: the distance is the sum of what the changes exceed ``tau`` by. Each time that the
      attack succeeds within ``tau``, ``tau`` becomes 0.9 of the largest change, until it is less
      than a 256th of the range of values.
    - ``"l0"``: as ``"l2"`` without bisection, with ever fewer values that may change: each time
      that the attack succeeds, those that matter least (change times gradient of the margin) are
      fixed at the clean value. Values count one by one, channels of a pixel apart.

    Differences from the authors' code: ``c`` grows tenfold for all norms (there twofold for
    ``"linf"`` and ``"l0"``), a stalled ``c`` is given up early for these, too (after the first
    success), and all values that have hardly changed (by 1e-4 of the range) are fixed at once for
    ``"l0"``. Untargeted, the search is for the classes whose borders seem to be the nearest: a few
    steps of :func:`fmn` towards each of ``n_target_classes`` compare them (in the L1 norm for
    ``"l0"``), and what these find counts, too, with a ``confidence`` of 0.

    Parameters
    ----------
    model, x, y, bounds, targeted, mask, eot, seed, index, batch_size, model_mode
        As for :func:`fgsm`.
    norm : str, default "l2"
        ``"l2"``, ``"linf"`` or ``"l0"``: what to keep small.
    steps : int, default 1000
        Steps for one ``c`` at most. The authors have 10,000 for ``"l2"``, which takes hours on a
        CPU. Pixels at a bound start slowly: with far fewer steps raise ``lr``.
    binary_search_steps : int, default 9
        Values of ``c`` that are tried. More are never worse.
    initial_const : float, optional
        The first ``c``; default 1e-3, and 1e-5 for ``"linf"``.
    lr : float, optional
        Length of a step of Adam; default 0.01, and 0.005 for ``"linf"``.
    confidence : float, default 0.0
        The margin, in units of the logits, that counts as a success while searching.
    abort_early : bool, default True
        Give a ``c`` up when the loss has not fallen by 0.01 % within a tenth of the steps, nor
        faster than in the tenth before.
    n_target_classes : int, optional
        How many other classes are compared, those with the largest logits at the clean image;
        default 9. ``None``: none, as in the authors' code, which goes for whichever is second at
        the moment, and may end at a border that is not the nearest. Without effect if ``targeted``.

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
    >>> result = tc.adversarial.carlini_wagner(model, x, tc.tensor([0]), bounds=(-1, 1), steps=200)
    >>> round(float(result.norm["l2"][0]), 1)  # the least is 1
    1.0
    """
    arguments = dict(locals())
    check_norm("carlini_wagner", norm, tuple(DEFAULTS))
    first, length = DEFAULTS[norm]
    settings = Settings(
        "carlini_wagner", steps, binary_search_steps,
        first if initial_const is None else initial_const, length if lr is None else lr,
        confidence, abort_early,
    )  # fmt: skip
    if n_target_classes is not None:
        check_steps("carlini_wagner", n_target_classes=n_target_classes)

    def search(problem: Problem, best: Smallest) -> None:
        goal = objective("carlini_wagner", "margin", problem.targeted)
        if norm != "l2":
            tighten(problem, best, goal, settings)
            return
        weights = ConstantSearch(len(problem), settings.initial_const)
        for _ in range(binary_search_steps):
            weights.update(descend(problem, best, weights.c, goal, settings))

    def solve(problem: Problem) -> tuple[Any, None]:
        best = Smallest(problem.x, norm)
        if targeted or n_target_classes is None:
            search(problem, best)
        else:
            class_by_class(problem, best, search, n_target_classes, keep=confidence == 0)
        return best.x, None

    return run("carlini_wagner", solve, arguments, norms=tuple(DEFAULTS))


def descend(
    problem: Problem, best: Smallest, c: np.ndarray, goal: Loss, settings: Settings
) -> np.ndarray:
    """Minimise squared L2 distance plus ``c`` times the hinge; return which samples succeeded."""
    space, alive = TanhSpace(problem.bounds), np.arange(len(problem))
    w, found = space.variables(problem.x), np.zeros(len(problem), bool)
    adam, stall = Adam(w), Stall(len(problem), settings)
    for step in problem.steps(settings.steps):
        x = problem.project(space.images(w))
        margin, slope, logits = problem.gradient(x, goal)
        success = problem.succeeds(logits) & settings.above(margin)
        found[alive] |= success
        best.offer(alive, x, success)
        change = x - problem.x
        distance = (change * change).reshape(len(x), -1).sum(1)
        loss = distance.numpy(force=True) + c * settings.hinge(margin)
        slope = 2 * change - settings.hinged(slope, margin) * column(c, x)
        w = w + adam.step(space.slope(slope, w), settings.lr)
        keep = np.flatnonzero(~stall(loss, np.full(len(x), step)))
        if len(keep) < len(alive):
            problem, alive, w, c = problem.take(keep), alive[keep], w[keep], c[keep]
            adam.take(keep)
            stall.take(keep)
        if not len(alive):
            break
    return found
