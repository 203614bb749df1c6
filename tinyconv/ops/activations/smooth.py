"""Smooth activation functions: each is its formula, its gradient, and a public function."""

from __future__ import annotations

import math
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...errors import ArgumentError
from .._operands import as_floating, check_floating
from ..elementwise._formulas import formula, unary
from ..elementwise.selection import Where
from .piecewise import finish, slope

# Constants of the self-normalising network (Klambauer et al. 2017, arXiv:1706.02515).
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


class Elu(Function):
    """scale * x where x > 0, else scale * alpha * (exp(x) - 1)."""

    @staticmethod
    def forward(ctx: Any, x: Any, alpha: float, scale: float) -> Any:
        ctx.save_for_backward(x)
        ctx.alpha, ctx.scale = alpha, scale
        return unary(lambda a: _elu(x.xp, a, alpha, scale), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * (x.clamp(max=0).exp() * slope(x, ctx.alpha) * ctx.scale), None, None


def _elu(xp: Any, x: Any, alpha: float, scale: float) -> Any:
    return scale * (xp.maximum(x, 0) + alpha * xp.expm1(xp.minimum(x, 0)))


class Celu(Function):
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""

    @staticmethod
    def forward(ctx: Any, x: Any, alpha: float) -> Any:
        ctx.save_for_backward(x)
        ctx.alpha, xp = alpha, x.xp
        return unary(
            lambda a: xp.maximum(a, 0) + alpha * xp.expm1(xp.minimum(a, 0) * (1 / alpha)), x
        )

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * (x.clamp(max=0) * (1 / ctx.alpha)).exp(), None


class Softsign(Function):
    """x / (1 + |x|)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return unary(lambda a: a / (abs(a) + 1), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        # 1 / (1 + |x|)^2, in a form that loses no digits where |x| is large.
        return formula(lambda g, a: g / (abs(a) + 1) / (abs(a) + 1), grad, *ctx.saved_tensors)


class Gelu(Function):
    """x * Phi(x), with the distribution function Phi of the standard normal distribution."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.wrap(x.device.backend.gelu(x.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        if not is_grad_enabled():
            return grad.wrap(grad.device.backend.gelu_grad(grad.array, x.array))
        density = (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
        return grad * (_normal_distribution(x) + x * density)


def _normal_distribution(x: Any) -> Any:
    return ((x * math.sqrt(0.5)).erf() + 1) * 0.5


class GeluTanh(Function):
    """x/2 * (1 + tanh(u)), u = sqrt(2/pi) * (x + 0.044715 x^3): GELU to three digits."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * (_gelu_tanh(x) + 1) * 0.5

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        t = _gelu_tanh(x)
        slope = (x * x * (3 * 0.044715) + 1) * math.sqrt(2 / math.pi)
        return grad * ((t + 1 + x * (1 - t * t) * slope) * 0.5)


def _gelu_tanh(x: Any) -> Any:
    return ((x * x * 0.044715 + 1) * x * math.sqrt(2 / math.pi)).tanh()


class Silu(Function):
    """x * sigmoid(x)."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.wrap(x.device.backend.silu(x.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        if not is_grad_enabled():
            return grad.wrap(grad.device.backend.silu_grad(grad.array, x.array))
        s = x.sigmoid()
        return grad * (s * (x * (1 - s) + 1))


class Softplus(Function):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""

    @staticmethod
    def forward(ctx: Any, x: Any, beta: float, threshold: float) -> Any:
        ctx.save_for_backward(x)
        ctx.beta, ctx.threshold = beta, threshold
        return unary(lambda a: _softplus(x.xp, a, beta, threshold), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        scaled = x * ctx.beta
        slope = Where.apply(x.wrap(scaled.array > ctx.threshold), 1.0, scaled.sigmoid())
        return grad * slope, None, None


def _softplus(xp: Any, x: Any, beta: float = 1, threshold: float = math.inf) -> Any:
    scaled = x * beta
    log_sum = xp.maximum(scaled, 0) + xp.log1p(xp.exp(-xp.abs(scaled)))
    return xp.where(scaled > threshold, x, log_sum / beta)


class LogSigmoid(Function):
    """log(sigmoid(x)) = -softplus(-x)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return unary(lambda a: -_softplus(x.xp, -a), x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad * (-x).sigmoid()


class Mish(Function):
    """x * tanh(softplus(x))."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * softplus(x).tanh()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        t = softplus(x).tanh()
        return grad * (t + x * x.sigmoid() * (1 - t * t))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Return ``input`` where it is positive, and ``alpha * (exp(input) - 1)`` elsewhere.

    Exponential linear unit (Clevert et al. 2016, arXiv:1511.07289).

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    alpha : float, default 1.0
        The result tends to ``-alpha`` far to the left.
    inplace : bool, default False
        Write the result into the memory of ``input``.
    """
    return finish("elu", check_floating("elu", "input", input), inplace, Elu, alpha, 1.0)


def selu(input: Any, inplace: bool = False) -> Any:
    """Return ``1.0507 * elu(input, 1.6733)``, which keeps mean 0 and variance 1 across layers.

    Klambauer et al. 2017, arXiv:1706.02515. ``inplace`` writes into the memory of ``input``.
    """
    check_floating("selu", "input", input)
    return finish("selu", input, inplace, Elu, SELU_ALPHA, SELU_SCALE)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Return ``input`` where it is positive, and ``alpha * (exp(input / alpha) - 1)`` elsewhere.

    Unlike that of ``elu``, its slope at 0 is 1 whatever ``alpha`` (Barron 2017,
    arXiv:1704.07483).

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    alpha : float, default 1.0
        The result tends to ``-alpha`` far to the left; not 0.
    inplace : bool, default False
        Write the result into the memory of ``input``.

    Raises
    ------
    ArgumentError
        If ``alpha`` is 0.
    """
    check_floating("celu", "input", input)
    if alpha == 0:
        raise ArgumentError("celu: alpha divides the input and must not be 0")
    return finish("celu", input, inplace, Celu, alpha)


def gelu(input: Any, approximate: str = "none") -> Any:
    """Return ``input`` times the probability that a standard normal number is below it.

    Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    approximate : {"none", "tanh"}
        ``"tanh"`` takes the paper's approximation, right to three digits.

    Raises
    ------
    ArgumentError
        If ``approximate`` is something else.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.gelu(tc.tensor([-1.0, 1.0]))
    tensor([-0.1587,  0.8413])
    """
    check_floating("gelu", "input", input)
    if approximate == "none":
        return Gelu.apply(input)
    if approximate == "tanh":
        return GeluTanh.apply(input)
    raise ArgumentError(f"gelu: approximate={approximate!r} is unknown; choose 'none' or 'tanh'")


def silu(input: Any, inplace: bool = False) -> Any:
    """Return ``input * sigmoid(input)``, also called swish (arXiv:1606.08415, 1710.05941).

    ``input`` is floating point; ``inplace`` writes into its memory.
    """
    return finish("silu", check_floating("silu", "input", input), inplace, Silu)


def mish(input: Any, inplace: bool = False) -> Any:
    """Return ``input * tanh(softplus(input))`` (Misra 2019, arXiv:1908.08681).

    ``input`` is floating point; ``inplace`` writes into its memory.
    """
    return finish("mish", check_floating("mish", "input", input), inplace, Mish)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """Return ``log(1 + exp(beta * input)) / beta``, a smooth ReLU.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    beta : float, default 1.0
        The larger, the closer to ReLU.
    threshold : float, default 20.0
        Where ``beta * input`` is larger, the result is ``input`` itself, to which it is equal up
        to rounding in float32.
    """
    return Softplus.apply(check_floating("softplus", "input", input), beta, threshold)


def logsigmoid(input: Any) -> Any:
    """Return ``log(sigmoid(input))``, which stays finite where ``sigmoid`` rounds to 0."""
    return LogSigmoid.apply(check_floating("logsigmoid", "input", input))


def softsign(input: Any) -> Any:
    """Return ``input / (1 + |input|)``, between -1 and 1 like tanh but slower to get there.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010. Integers and bools become the default float dtype; infinity gives NaN, as
    infinity divided by infinity does.
    """
    return Softsign.apply(as_floating("softsign", input))
