"""What each layer makes of an interval: the smallest box round all it can make of the points in it.

A module without a rule of its own runs its own ``forward`` on the interval, which can be added,
subtracted, multiplied, indexed and reshaped: so chains and residual blocks need no rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ... import nn
from ...errors import ArgumentError
from ...nn import functional as F
from ...nn.blocks.residual import PaddedShortcut
from ...ops import where


class Interval:
    """All tensors between two, element by element.

    Attributes
    ----------
    lower, upper : Tensor
        The ends, of one shape.
    linear : (Linear, Interval) or None
        What the interval was made by, and from: differences of elements have tighter bounds then.
    """

    def __init__(self, lower: Any, upper: Any, linear: Any = None) -> None:
        self.lower, self.upper, self.linear = lower, upper, linear

    @property
    def centre(self) -> Any:
        """The point half way between the ends."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Any:
        """Half of the width."""
        return (self.upper - self.lower) / 2

    @property
    def shape(self) -> Any:
        """Shape of the tensors."""
        return self.lower.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.lower.ndim

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one dimension."""
        return self.lower.size() if dim is None else self.lower.size(dim)

    def __len__(self) -> int:
        return len(self.lower)

    def _both(self, function: Callable[[Any], Any]) -> Interval:
        return Interval(function(self.lower), function(self.upper))

    def reshape(self, *shape: Any) -> Interval:
        """Return the interval in another shape."""
        return self._both(lambda t: t.reshape(*shape))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Interval:
        """Return the interval with several dimensions made one."""
        return self._both(lambda t: t.flatten(start_dim, end_dim))

    def mean(self, dim: Any = None, keepdim: bool = False) -> Interval:
        """Return the interval of means."""
        return self._both(lambda t: t.mean(dim, keepdim=keepdim))

    def relu(self) -> Interval:
        """Return the interval of positive parts."""
        return self._both(F.relu)

    def __getitem__(self, index: Any) -> Interval:
        return self._both(lambda t: t[index])

    def __add__(self, other: Any) -> Interval:
        if isinstance(other, Interval):
            return Interval(self.lower + other.lower, self.upper + other.upper)
        return Interval(self.lower + other, self.upper + other)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.upper, -self.lower)

    def __sub__(self, other: Any) -> Interval:
        return self + -other

    def __rsub__(self, other: Any) -> Interval:
        return -self + other

    def __mul__(self, factor: Any) -> Interval:
        if isinstance(factor, Interval):  # of all points of both, as if they were independent
            (a, b), (c, d) = (self.lower, self.upper), (factor.lower, factor.upper)
            return hull(a * c, a * d, b * c, b * d)
        return hull(self.lower * factor, self.upper * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Interval:
        if isinstance(divisor, Interval):
            raise TypeError("intervals cannot be divided by each other")
        return hull(self.lower / divisor, self.upper / divisor)


#: From a module and the interval of its input (and further arguments) to that of its output.
Rule = Callable[..., Interval]
RULES: dict[type[nn.Module], Rule] = {}


def interval_rule(*kinds: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of some classes of modules.

    The function gets a module and an :class:`Interval`, and returns the interval of all that the
    module makes of its points in eval mode, whatever mode it is in. Subclasses share the rule
    unless they define another ``forward``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> class Half(tc.nn.Module):
    ...     def forward(self, input):
    ...         return input / 2
    >>> @tc.adversarial.interval_rule(Half)
    ... def halve(module, x):
    ...     return tc.adversarial.Interval(x.lower / 2, x.upper / 2)
    """

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return register


def propagate(model: Any, x: Interval, caller: str) -> Interval:
    """Return the interval of all that the model makes of ``x`` in eval mode.

    Raises
    ------
    ArgumentError
        Names the module that has no rule and whose ``forward`` cannot run on intervals.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"{caller}: argument 'model' must be a Module, whose layers can be looked at, got "
            f"{type(model).__name__}"
        )
    with _on_intervals(model, caller):
        return model(x)


@contextmanager
def _on_intervals(model: nn.Module, caller: str) -> Iterator[None]:
    """Let every module in ``model`` take and return intervals inside the context."""
    before = {module: module.__dict__.get("forward") for module in model.modules()}
    try:
        for name, module in list(model.named_modules()):
            where = f"{caller}: {type(module).__name__} ({name!r} in the model)"
            rule = _rule_of(module)
            run = module.forward if rule is None else partial(rule, module)
            module.__dict__["forward"] = partial(_guarded, where, run)
        yield
    finally:
        for module, forward in before.items():
            del module.__dict__["forward"]
            if forward is not None:
                module.__dict__["forward"] = forward


class _UnsupportedError(ArgumentError):
    """Names the innermost module that failed; those around it pass it on."""


def _guarded(where: str, run: Callable[[Any], Any], *args: Any, **kwargs: Any) -> Interval:
    try:
        result = run(*args, **kwargs)
    except _UnsupportedError:
        raise
    except Exception as error:
        raise _UnsupportedError(
            f"{where} cannot be bounded: {error}. Intervals go through linear, convolution, "
            "normalisation, pooling, padding and elementwise layers, and sums and products of "
            "them; give others a rule with adversarial.interval_rule"
        ) from error
    if not isinstance(result, Interval):
        raise _UnsupportedError(f"{where} cannot be bounded: its rule returned no interval")
    return result


def _rule_of(module: nn.Module) -> Rule | None:
    """Return the rule of the class whose ``forward`` the module has."""
    for kind in type(module).__mro__:
        if kind in RULES and type(module).forward is kind.forward:
            return RULES[kind]
    return None


def _original(module: Any, x: Any) -> Any:
    """Call what the class defines, past what the context has put in its place."""
    return type(module).forward(module, x)


def hull(a: Any, b: Any, *more: Any) -> Interval:
    """Return the smallest interval that holds some tensors."""
    lower, upper = a.minimum(b), a.maximum(b)
    for c in more:
        lower, upper = lower.minimum(c), upper.maximum(c)
    return Interval(lower, upper)


# -- linear maps: the centre moves as a point, the radius with the sizes of the weights ------------


def _affine(x: Interval, apply: Callable[[Any, Any, Any], Any], weight: Any, bias: Any) -> Interval:
    centre, radius = apply(x.centre, weight, bias), apply(x.radius, weight.abs(), None)
    return Interval(centre - radius, centre + radius)


@interval_rule(nn.Linear)
def _linear(module: Any, x: Interval) -> Interval:
    result = _affine(x, F.linear, module.weight, module.bias)
    result.linear = (module, x)
    return result


@interval_rule(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _conv(module: Any, x: Interval) -> Interval:
    return _affine(x, module._conv_forward, module.weight, module.bias)


@interval_rule(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def _conv_transpose(module: Any, x: Interval, output_size: Any = None) -> Interval:
    def apply(t: Any, weight: Any, bias: Any) -> Any:
        return module._conv_forward(t, weight, bias, output_size)

    return _affine(x, apply, module.weight, module.bias)


# -- layers that keep the order: the ends become the ends ------------------------------------------


@interval_rule(
    nn.ReLU, nn.ReLU6, nn.SELU, nn.CELU, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softsign,
    nn.Hardtanh, nn.Hardsigmoid, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
    nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d,
    nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d,
    nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d,
    nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d,
    nn.Normalize, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, PaddedShortcut,
)  # fmt: skip
def _increasing(module: Any, x: Interval) -> Interval:
    if getattr(module, "inplace", False):  # the ends may be needed again
        x = Interval(x.lower.clone(), x.upper.clone())
    return Interval(_original(module, x.lower), _original(module, x.upper))


@interval_rule(nn.Upsample)
def _upsample(module: Any, x: Interval) -> Interval:
    if module.mode == "bicubic":
        raise ArgumentError("mode='bicubic' has negative weights, which do not keep the order")
    return _increasing(module, x)


@interval_rule(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
               nn.AdaptiveMaxPool3d)  # fmt: skip
def _max_pool(module: Any, x: Interval) -> Interval:
    if module.return_indices:
        raise ArgumentError("return_indices=True has no meaning for intervals")
    return _increasing(module, x)


@interval_rule(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
               nn.FeatureAlphaDropout, nn.StochasticDepth, nn.GaussianNoise)  # fmt: skip
def _nothing_in_evaluation(module: Any, x: Interval) -> Interval:
    return x


# -- layers that fall, or fall and rise: the ends and the turning point are all that counts --------


def _bending(module: Any, x: Interval, apply: Callable[[Any], Any], turn: float) -> Interval:
    turned = x.lower.clamp(min=turn).minimum(x.upper)  # the point of the interval nearest to it
    return hull(apply(x.lower), apply(x.upper), apply(turned))


@interval_rule(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
def batch_norm(module: Any, x: Interval) -> Interval:
    """Return the interval of a normalisation by running statistics."""
    if module.running_mean is None:
        raise ArgumentError(
            "without running statistics the samples of a batch depend on each other"
        )

    def apply(t: Any) -> Any:
        statistics = (module.running_mean, module.running_var, module.weight, module.bias)
        return F.batch_norm(t, *statistics, False, 0.0, module.eps)

    return hull(apply(x.lower), apply(x.upper))


@interval_rule(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def _avg_pool(module: Any, x: Interval) -> Interval:
    return hull(_original(module, x.lower), _original(module, x.upper))  # a divisor may be < 0


@interval_rule(nn.LeakyReLU)
def _leaky_relu(module: Any, x: Interval) -> Interval:
    return _bending(module, x, lambda t: F.leaky_relu(t, module.negative_slope), 0.0)


@interval_rule(nn.RReLU)
def _rrelu(module: Any, x: Interval) -> Interval:
    return _bending(module, x, lambda t: F.rrelu(t, module.lower, module.upper, False), 0.0)


@interval_rule(nn.PReLU)
def _prelu(module: Any, x: Interval) -> Interval:
    return _bending(module, x, lambda t: F.prelu(t, module.weight), 0.0)


@interval_rule(nn.ELU)
def _elu(module: Any, x: Interval) -> Interval:
    return _bending(module, x, lambda t: F.elu(t, module.alpha), 0.0)


@interval_rule(nn.Softplus)
def _softplus(module: Any, x: Interval) -> Interval:
    # Where it goes over to the straight line it jumps a little: both values there count.
    value, there = _original(module, x.lower), module.threshold / module.beta
    inside = (x.lower <= there) & (x.upper >= there)
    curve = math.log1p(math.exp(module.threshold)) / module.beta
    limits = (where(inside, limit, value) for limit in (there, curve))
    return hull(value, _original(module, x.upper), *limits)


@interval_rule(nn.SiLU)
def _silu(module: Any, x: Interval) -> Interval:
    return _bending(module, x, F.silu, -1.2784645427610737)


@interval_rule(nn.Mish)
def _mish(module: Any, x: Interval) -> Interval:
    return _bending(module, x, F.mish, -1.1924312145154952)


@interval_rule(nn.Hardswish)
def _hardswish(module: Any, x: Interval) -> Interval:
    return _bending(module, x, F.hardswish, -1.5)


@interval_rule(nn.GELU)
def _gelu(module: Any, x: Interval) -> Interval:
    turn = -0.7517915246935645 if module.approximate == "none" else -0.7524614220710163
    return _bending(module, x, lambda t: F.gelu(t, approximate=module.approximate), turn)
