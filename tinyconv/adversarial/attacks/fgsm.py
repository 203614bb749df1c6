"""The fast gradient sign method: one step along the sign of the gradient."""

from __future__ import annotations

from typing import Any

from ..geometry import steepest
from ..losses import Loss, objective
from ..problem import Problem
from ..result import AttackResult
from ..running import run


def fgsm(
    model: Any,
    x: Any,
    y: Any,
    *,
    eps: Any,
    norm: str = "linf",
    loss: str | Loss = "ce",
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    mask: Any = None,
    eot: int = 1,
    seed: int = 0,
    index: Any = None,
    batch_size: int | None = None,
    model_mode: str = "eval",
) -> AttackResult:
    """Attack with one step of full length along the steepest direction of the loss.

    Goodfellow et al. (2015), "Explaining and harnessing adversarial examples", arXiv 1412.6572,
    and its forms in the L2 norm (along the gradient) and the L1 norm (all on the value with the
    largest slope). The perturbation is the best one for a model that is linear; for others it is
    quick and weak: use :func:`pgd` to measure robustness.

    Parameters
    ----------
    model : Module or callable
        From images to logits ``(N, K)``. It is in eval mode during the attack and left as it was.
    x : Tensor
        Images ``(N, ...)`` with values within ``bounds``.
    y : Tensor
        int64 ``(N,)``: the true classes or, if ``targeted``, the classes to reach.
    eps : float or array
        Radius of the ball: one number, one a sample, or one a channel ``(C, 1, 1)`` for
        ``"linf"``; in the units of ``x``, such as ``8/255``.
    norm : str, default "linf"
        ``"linf"``, ``"l2"`` or ``"l1"``.
    loss : str or callable, default "ce"
        ``"ce"``, ``"margin"``, ``"dlr"``, or a function of (logits, y) that gives ``(N,)``.
    bounds : (float, float), default (0, 1)
        The smallest and the largest legal value of ``x``.
    targeted : bool, default False
        Whether ``y`` is where to go.
    mask : Tensor, optional
        True where ``x`` may change; broadcasts over ``x``.
    eot : int, default 1
        Gradients to average, for a model that is random itself.
    seed : int, default 0
        Of all random numbers (here only those of a random model); its lowest 32 bits count.
    index : array, optional
        Number of each sample in the data set, from which its random numbers follow; default 0 to
        N-1. Pass it where you cut a data set into batches yourself.
    batch_size : int, optional
        Samples at a time; default all. Changes memory and time, not the result.
    model_mode : str, default "eval"
        ``"as_is"`` leaves the modes of the modules as they are.

    Returns
    -------
    AttackResult

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, IndexRangeError
        Where an argument is not as above.
    GradientError
        If the logits do not depend on ``x`` through differentiable functions.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(tc.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]]))
    >>> x = tc.full((1, 1, 2, 2), 0.5)
    >>> result = tc.adversarial.fgsm(model, x, tc.tensor([0]), eps=0.1)
    >>> result.x_adv.flatten().tolist()[0], bool(result.success[0])
    (0.4000000059604645, False)
    """
    arguments = dict(locals())
    goal = objective("fgsm", loss, targeted)

    def solve(problem: Problem) -> tuple[Any, None]:
        _, slope, _ = problem.gradient(problem.x, goal)
        x, eps = problem.x, problem.eps
        return x + steepest(slope, x, eps, norm, problem.bounds), None

    return run("fgsm", solve, arguments, loss=loss)
