"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from ..autograd import enable_grad, no_grad
from ..autograd.views import check_writable
from ..errors import ArgumentError
from ..ops import cat, zeros_like
from .line_search import Point, ratio, strong_wolfe
from .optimizer import Optimizer


class LBFGS(Optimizer):
    """L-BFGS: a quasi-Newton method, which learns the curvature from the last gradients.

    One ``step(closure)`` is a whole minimization of up to ``max_iter`` iterations; the closure
    computes the loss and its gradients anew each time, so it must be the same function throughout:
    the whole data set, or one batch without dropout. Two vectors a remembered iteration are kept,
    each of the length of all parameters. Nocedal, "Updating quasi-Newton matrices with limited
    storage" (1980); Liu and Nocedal (1989).

    Parameters
    ----------
    params : iterable of Parameter
        What to optimize, all on one device; there is one parameter group only.
    lr : float, default 1
        Length of the steps, and of the first trial of a line search.
    max_iter : int, default 20
        Most iterations a step.
    max_eval : int, optional
        Most calls of the closure a step; default ``max_iter * 5 // 4``. It may be exceeded by the
        one call that an iteration needs.
    tolerance_grad : float, default 1e-7
        Stop when no component of the gradient is larger.
    tolerance_change : float, default 1e-9
        Stop when no parameter, or not the loss, changes by more.
    history_size : int, default 100
        Iterations that are remembered.
    line_search_fn : {None, "strong_wolfe"}
        Whether the length of each step is searched for.

    Raises
    ------
    ArgumentError
        If there is a second group, an option is out of range, or ``step`` gets no closure.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.nn.Parameter(tc.tensor([-1.2, 1.0]))
    >>> optimizer = tc.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> round(optimizer.step(closure).item(), 1)
    24.2
    >>> [round(value, 2) for value in x.tolist()]
    [1.0, 1.0]
    """

    state_numbers: ClassVar[dict[str, type]] = dict.fromkeys(("t", "H_diag", "ro", "al"), float)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        })  # fmt: skip

    def add_param_group(self, param_group: Any) -> None:
        """Raise; all parameters are given at the start, in one group."""
        if self.param_groups:
            raise ArgumentError("LBFGS: there can be only one parameter group")
        super().add_param_group(param_group)

    def check_options(self, group: dict[str, Any]) -> None:
        """Check the options that only L-BFGS has."""
        super().check_options(group)
        for option, least in (("max_iter", 0), ("max_eval", 0), ("history_size", 1)):
            if not isinstance(group[option], int) or group[option] < least:
                raise ArgumentError(
                    f"LBFGS: {option} must be an int of at least {least}, got {group[option]}"
                )
        for option in ("tolerance_grad", "tolerance_change"):
            if group[option] != group[option]:
                raise ArgumentError(f"LBFGS: {option} must be a number, got {group[option]}")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ArgumentError(
                "LBFGS: line_search_fn must be None or 'strong_wolfe', got "
                f"{group['line_search_fn']!r}"
            )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimize the loss.

        Parameters
        ----------
        closure : callable
            Clears the gradients, computes the loss and its gradients, and returns the loss.

        Returns
        -------
        Tensor
            What the first call of ``closure`` returned.
        """
        if closure is None:
            raise ArgumentError("LBFGS: step() needs a closure that computes the loss anew")
        with no_grad():
            for param in self.param_groups[0]["params"]:
                check_writable("LBFGS", param)
            loss = self._minimize(closure)
        self.step_count += 1
        return loss

    def _minimize(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        calls_before, tolerance = state["func_evals"], group["tolerance_change"]

        def evaluate() -> Any:
            with enable_grad():
                loss = closure()
            state["func_evals"] += 1
            return loss

        first = evaluate()
        loss, grad = float(first), self._flat_grad()
        if _largest(grad) <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, grad, group["history_size"])
            step = float(group["lr"])
            if state["n_iter"] == 1:
                step *= min(1.0, ratio(1.0, grad.abs().sum().item()))
            slope = grad.dot(direction).item()
            state.update(d=direction, t=step, prev_flat_grad=grad, prev_loss=loss)
            if slope > -tolerance:
                break
            if group["line_search_fn"] is not None:
                most = group["max_eval"] - state["func_evals"] + calls_before
                start = Point(0.0, loss, grad, slope)
                step, loss, grad, _ = self._search(evaluate, start, step, direction, most)
                state["t"] = step
                self._move(step, direction)
            else:
                self._move(step, direction)
                if iteration < group["max_iter"]:  # else nobody asks for the loss
                    loss, grad = float(evaluate()), self._flat_grad()
            if (
                iteration == group["max_iter"]
                or state["func_evals"] - calls_before >= group["max_eval"]
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(direction * step) <= tolerance
                or abs(loss - state["prev_loss"]) < tolerance
            ):
                break
        return first

    def _direction(self, state: dict[str, Any], grad: Any, history_size: int) -> Any:
        """Return the way to go: the gradient times the inverse curvature, in two loops."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -grad
        changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        change, step = grad - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = change.dot(step).item()
        if curvature > 1e-10:
            if len(changes) == history_size:
                for history in (changes, steps, ro):
                    del history[0]
            changes.append(change)
            steps.append(step)
            ro.append(1 / curvature)
            state["H_diag"] = ratio(curvature, change.dot(change).item())
        al = [0.0] * len(ro)
        q = -grad
        for i in reversed(range(len(ro))):
            al[i] = steps[i].dot(q).item() * ro[i]
            q.sub_(changes[i], alpha=al[i])
        q.mul_(state["H_diag"])
        for i in range(len(ro)):
            q.add_(steps[i], alpha=al[i] - changes[i].dot(q).item() * ro[i])
        state["al"] = al + [None] * (history_size - len(al))  # as PyTorch keeps it
        return q

    def _search(
        self, evaluate: Callable[[], Any], start: Point, step: float, direction: Any, most: int
    ) -> Point:
        """Return the point that a line search finds; the parameters stay where they are."""
        params = self.param_groups[0]["params"]
        here = [param.clone() for param in params]

        def evaluate_at(step: float) -> Point:
            self._move(step, direction)
            loss, grad = float(evaluate()), self._flat_grad()
            for param, place in zip(params, here, strict=True):
                param.copy_(place)
            return Point(step, loss, grad, grad.dot(direction).item())

        return strong_wolfe(evaluate_at, start, step, _largest(direction), most)

    def _move(self, step: float, direction: Any) -> None:
        """Add ``step`` times the direction to the parameters."""
        offset = 0
        for param in self.param_groups[0]["params"]:
            part = direction[offset : offset + param.numel()]
            param.add_(part.reshape(param.shape), alpha=step)
            offset += param.numel()

    def _flat_grad(self) -> Any:
        """Return all gradients as one vector, 0 where there is none."""
        parts = []
        for param in self.param_groups[0]["params"]:
            grad = zeros_like(param) if param.grad is None else param.grad
            fits = grad.device is param.device and grad.array.dtype == param.array.dtype
            if not fits or grad.array.shape != param.array.shape:
                self._refuse(param, "its gradient", grad)
            parts.append(grad.reshape(-1))
        return cat(parts)

    def state_shape(self, param: Any) -> tuple[int, ...]:
        """Return the shape that tensors in the state have: they are of all parameters."""
        return (sum(param.numel() for param in self.param_groups[0]["params"]),)


def _largest(vector: Any) -> float:
    return vector.abs().max().item()
