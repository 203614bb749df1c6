"""The user's tensor: a table of methods, each of them an op.

A method is the op itself, ``x.exp()`` is ``ops.exp(x)``; look there for what it does. A name
that ends in ``_`` does the same in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import ops
from .autograd import TensorBase
from .autograd.inplace import reshape, write
from .autograd.pending import Pending, held
from .ops._operands import check_tensor
from .ops.fusion import add_to_pending
from .protocols import Size, TensorProtocols

__all__ = ["Size", "Tensor"]

Op = Callable[..., Any]


def _in_place(name: str, op: Op, fresh: bool = False) -> Op:
    """Return the method that replaces a tensor's contents by the result of ``op``."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return write(name, self, lambda x: op(x, *args, **kwargs), fresh)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = op.__doc__ if op.__name__[0] == "_" else (
        f"Do what :func:`{op.__name__}` does in place, and return the tensor."
    )  # fmt: skip
    return method


def _reshaping(name: str, op: Op) -> Op:
    """Return the method that lets a tensor show its memory in the shape of the view ``op``."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return reshape(name, self, lambda x: op(x, *args, **kwargs))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Do what :func:`{op.__name__}` does in place, and return the tensor."
    return method


def _twins(*functions: Op) -> list[Op]:
    """Return the in-place methods of functions, named like them with ``_``."""
    return [_in_place(f"{op.__name__}_", op) for op in functions]


def _polygamma(x: Any, n: Any) -> Any:
    """Replace the elements by derivative ``n`` of the digamma function at them."""
    return ops.polygamma(n, x)


def _reflected(op: Op) -> Op:
    """Return the method for ``other op self``, where ``other`` is not a tensor."""

    def method(self: Any, other: Any) -> Any:
        return op(other, self)

    return method


def _equality(op: Op) -> Op:
    """Return ``==`` or ``!=``, which answer for any object, as Python wants it."""

    def method(self: Any, other: Any) -> Any:
        if isinstance(other, TensorBase | bool | int | float) or hasattr(other, "dtype"):
            return op(self, other)
        return NotImplemented

    return method


def _fill(x: Any, value: Any) -> Any:
    """Fill the tensor with ``value``, a number or a tensor that broadcasts, and return it."""
    if isinstance(value, TensorBase):
        return value.to(x.device, x.dtype).expand(x.array.shape)
    return ops.full_like(x, value)


def _copy(x: Any, src: Any, non_blocking: Any = False) -> Any:
    """Copy ``src``, which may have another dtype or device, into the tensor, and return it."""
    return check_tensor("copy_", "src", src).to(x.device, x.dtype)


class Tensor(TensorProtocols):
    """An n-dimensional array that may take part in a graph; make one with :func:`tensor`.

    Parameters
    ----------
    array : array
        Array of the device's library.
    device : Device
        Where the array lives.
    requires_grad : bool, default False
        Whether gradients are wanted.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()

    # Arithmetic
    __add__ = __radd__ = add = ops.add
    __sub__ = sub = subtract = ops.sub
    __rsub__ = rsub = ops.rsub
    __mul__ = __rmul__ = mul = multiply = ops.mul
    __truediv__ = ops.true_divide
    __rtruediv__ = _reflected(ops.true_divide)
    div = divide = ops.div
    true_divide = ops.true_divide
    __floordiv__ = floor_divide = ops.floor_divide
    __rfloordiv__ = _reflected(ops.floor_divide)
    __mod__ = remainder = ops.remainder
    __rmod__ = _reflected(ops.remainder)
    fmod = ops.fmod
    __pow__ = pow = ops.pow
    __rpow__ = _reflected(ops.pow)
    __neg__ = neg = negative = ops.neg
    __abs__ = abs = absolute = ops.abs
    square = ops.square
    lerp = ops.lerp
    addcmul = ops.addcmul
    addcdiv = ops.addcdiv
    hypot, copysign = ops.hypot, ops.copysign
    atan2 = arctan2 = ops.atan2
    float_power, ldexp, nextafter = ops.float_power, ops.ldexp, ops.nextafter
    logaddexp, logaddexp2, xlogy = ops.logaddexp, ops.logaddexp2, ops.xlogy
    heaviside, gcd, lcm, positive = ops.heaviside, ops.gcd, ops.lcm, ops.positive

    # Element-wise functions
    exp, exp2, expm1 = ops.exp, ops.exp2, ops.expm1
    log, log1p, log2, log10 = ops.log, ops.log1p, ops.log2, ops.log10
    sqrt, rsqrt, reciprocal = ops.sqrt, ops.rsqrt, ops.reciprocal
    sin, cos, tan = ops.sin, ops.cos, ops.tan
    asin, acos, atan = arcsin, arccos, arctan = ops.asin, ops.acos, ops.atan
    sinh, cosh, tanh = ops.sinh, ops.cosh, ops.tanh
    asinh, acosh, atanh = arcsinh, arccosh, arctanh = ops.asinh, ops.acosh, ops.atanh
    floor, ceil, trunc, frac = ops.floor, ops.ceil, ops.trunc, ops.frac
    round, fix = ops.round, ops.trunc
    deg2rad, rad2deg, nan_to_num = ops.deg2rad, ops.rad2deg, ops.nan_to_num
    sign = sgn = ops.sign
    signbit = ops.signbit
    erf, erfc, erfinv = ops.erf, ops.erfc, ops.erfinv
    logit, sinc, i0 = ops.logit, ops.sinc, ops.i0
    lgamma, digamma = ops.lgamma, ops.digamma

    def polygamma(self, n: Any) -> Any:
        """Return derivative ``n`` of the digamma function; see :func:`tinyconv.polygamma`."""
        return ops.polygamma(n, self)

    sigmoid, relu = ops.sigmoid, ops.relu
    softmax, log_softmax = ops.softmax, ops.log_softmax
    prelu, hardshrink = ops.prelu, ops.hardshrink
    clamp, clip, clamp_min, clamp_max = ops.clamp, ops.clip, ops.clamp_min, ops.clamp_max

    # Comparison, logic, bits
    __eq__ = _equality(ops.eq)
    __ne__ = _equality(ops.ne)
    __lt__ = lt = less = ops.lt
    __le__ = le = less_equal = ops.le
    __gt__ = gt = greater = ops.gt
    __ge__ = ge = greater_equal = ops.ge
    __hash__ = TensorProtocols.__hash__  # a class with __eq__ loses it otherwise
    eq, ne, not_equal = ops.eq, ops.ne, ops.ne
    equal, isclose, allclose = ops.equal, ops.isclose, ops.allclose
    isnan, isinf, isfinite = ops.isnan, ops.isinf, ops.isfinite
    isposinf, isneginf = ops.isposinf, ops.isneginf
    maximum, minimum, fmax, fmin = ops.maximum, ops.minimum, ops.fmax, ops.fmin
    logical_and, logical_or = ops.logical_and, ops.logical_or
    logical_xor, logical_not = ops.logical_xor, ops.logical_not
    __and__ = __rand__ = bitwise_and = ops.bitwise_and
    __or__ = __ror__ = bitwise_or = ops.bitwise_or
    __xor__ = __rxor__ = bitwise_xor = ops.bitwise_xor
    __invert__ = bitwise_not = ops.bitwise_not
    __lshift__ = bitwise_left_shift = ops.bitwise_left_shift
    __rshift__ = bitwise_right_shift = ops.bitwise_right_shift

    # Reductions and sorting
    sum, mean, prod, diff = ops.sum, ops.mean, ops.prod, ops.diff
    nansum, nanmean = ops.nansum, ops.nanmean
    cumsum, cumprod, logcumsumexp = ops.cumsum, ops.cumprod, ops.logcumsumexp
    cummax, cummin = ops.cummax, ops.cummin
    var, std, norm, renorm = ops.var, ops.std, ops.norm, ops.renorm
    cov, corrcoef = ops.cov, ops.corrcoef
    max, min, amax, amin, aminmax = ops.max, ops.min, ops.amax, ops.amin, ops.aminmax
    median, nanmedian = ops.median, ops.nanmedian
    quantile, nanquantile = ops.quantile, ops.nanquantile
    mode, kthvalue = ops.mode, ops.kthvalue
    argmax, argmin, logsumexp = ops.argmax, ops.argmin, ops.logsumexp
    any, all, count_nonzero = ops.any, ops.all, ops.count_nonzero
    sum_to_size = ops.sum_to_size
    unique, unique_consecutive = ops.unique, ops.unique_consecutive
    bincount, histc = ops.bincount, ops.histc
    sort, argsort, topk, msort = ops.sort, ops.argsort, ops.topk, ops.msort

    # Shape
    reshape, view, flatten, ravel = ops.reshape, ops.view, ops.flatten, ops.ravel
    reshape_as, view_as, unflatten = ops.reshape_as, ops.view_as, ops.unflatten
    squeeze, unsqueeze = ops.squeeze, ops.unsqueeze
    permute, transpose, t, movedim = ops.permute, ops.transpose, ops.t, ops.movedim
    swapaxes, swapdims, moveaxis = ops.swapaxes, ops.swapaxes, ops.movedim
    T = property(ops.reverse_dims, doc="The tensor with its dimensions in reverse order.")
    mT = property(ops.matrix_transpose, doc="The tensor with its last two dimensions exchanged.")
    expand, expand_as, broadcast_to = ops.expand, ops.expand_as, ops.broadcast_to
    repeat, tile, flip, roll = ops.repeat, ops.tile, ops.flip, ops.roll
    split, chunk, unbind = ops.split, ops.chunk, ops.unbind
    split_with_sizes, unfold = ops.split_with_sizes, ops.sliding_windows
    narrow, narrow_copy, select = ops.narrow, ops.narrow_copy, ops.select
    diagonal = ops.diagonal
    tril, triu, trace = ops.tril, ops.triu, ops.trace
    diag, diagflat, diag_embed = ops.diag, ops.diagflat, ops.diag_embed
    fliplr, flipud, rot90 = ops.fliplr, ops.flipud, ops.rot90
    tensor_split, hsplit, vsplit, dsplit = ops.tensor_split, ops.hsplit, ops.vsplit, ops.dsplit

    # Indexing
    __getitem__, __setitem__ = ops.getitem, ops.setitem
    gather, take, take_along_dim = ops.gather, ops.take, ops.take_along_dim
    repeat_interleave = ops.repeat_interleave
    index_select, index_add, index_fill = ops.index_select, ops.index_add, ops.index_fill
    index_copy, index_put, index_reduce = ops.index_copy, ops.index_put, ops.index_reduce
    put = ops.put
    scatter, scatter_add, scatter_reduce = ops.scatter, ops.scatter_add, ops.scatter_reduce
    select_scatter, slice_scatter = ops.select_scatter, ops.slice_scatter
    diagonal_scatter = ops.diagonal_scatter
    masked_fill, masked_select = ops.masked_fill, ops.masked_select
    masked_scatter = ops.masked_scatter
    nonzero, argwhere = ops.nonzero, ops.argwhere

    def where(self, condition: Any, other: Any) -> Any:
        """Return this tensor where ``condition`` is true and ``other`` elsewhere."""
        return ops.where(condition, self, other)

    # Matrix products
    __matmul__ = matmul = ops.matmul
    __rmatmul__ = _reflected(ops.matmul)
    mm, bmm, mv, dot, outer = ops.mm, ops.bmm, ops.mv, ops.dot, ops.outer
    addmm, addmv, addr = ops.addmm, ops.addmv, ops.addr
    addbmm, baddbmm = ops.addbmm, ops.baddbmm
    inner, vdot, cross, kron, dist = ops.inner, ops.vdot, ops.cross, ops.kron, ops.dist

    # Matrices as a whole
    inverse, pinverse, matrix_power = ops.inverse, ops.pinverse, ops.matrix_power
    det, logdet, slogdet = ops.det, ops.logdet, ops.slogdet
    cholesky, qr, svd = ops.cholesky, ops.qr, ops.svd
    geqrf, matrix_exp = ops.geqrf, ops.matrix_exp

    # New tensors like this one
    new_tensor, new_full, new_empty = ops.new_tensor, ops.new_full, ops.new_empty
    new_zeros, new_ones = ops.new_zeros, ops.new_ones

    # Dtype, device, memory, Python values
    to, type, type_as, cpu, cuda = ops.to, ops.to_type, ops.type_as, ops.cpu, ops.cuda
    pin_memory, is_pinned = ops.pin_memory, ops.is_pinned
    float, double, half = ops.to_float, ops.to_double, ops.to_half
    bfloat16 = ops.to_bfloat16
    int, long, short = ops.to_int, ops.to_long, ops.to_short
    char, byte, bool = ops.to_char, ops.to_byte, ops.to_bool
    clone, contiguous, is_contiguous = ops.clone, ops.contiguous, ops.is_contiguous
    item, tolist, numpy = ops.item, ops.tolist, ops.to_numpy

    # In place
    __iadd__ = add_ = _in_place("add_", ops.add)
    __isub__ = sub_ = _in_place("sub_", ops.sub)
    __imul__ = mul_ = _in_place("mul_", ops.mul)
    __itruediv__ = div_ = _in_place("div_", ops.div)
    __ifloordiv__ = floor_divide_ = _in_place("floor_divide_", ops.floor_divide)
    __imod__ = remainder_ = _in_place("remainder_", ops.remainder)
    __ipow__ = pow_ = _in_place("pow_", ops.pow)
    __iand__ = bitwise_and_ = _in_place("bitwise_and_", ops.bitwise_and)
    __ior__ = bitwise_or_ = _in_place("bitwise_or_", ops.bitwise_or)
    __ixor__ = bitwise_xor_ = _in_place("bitwise_xor_", ops.bitwise_xor)
    subtract_, multiply_, divide_ = sub_, mul_, div_
    fmod_, true_divide_, float_power_ = _twins(ops.fmod, ops.true_divide, ops.float_power)
    neg_, abs_, sign_, square_ = _twins(ops.neg, ops.abs, ops.sign, ops.square)
    negative_, absolute_, sgn_ = neg_, abs_, sign_
    exp_, exp2_, expm1_ = _twins(ops.exp, ops.exp2, ops.expm1)
    log_, log1p_, log2_, log10_ = _twins(ops.log, ops.log1p, ops.log2, ops.log10)
    sqrt_, rsqrt_, reciprocal_ = _twins(ops.sqrt, ops.rsqrt, ops.reciprocal)
    sin_, cos_, tan_ = _twins(ops.sin, ops.cos, ops.tan)
    asin_, acos_, atan_ = arcsin_, arccos_, arctan_ = _twins(ops.asin, ops.acos, ops.atan)
    sinh_, cosh_, tanh_ = _twins(ops.sinh, ops.cosh, ops.tanh)
    asinh_, acosh_, atanh_ = arcsinh_, arccosh_, arctanh_ = _twins(ops.asinh, ops.acosh, ops.atanh)
    floor_, ceil_, trunc_ = _twins(ops.floor, ops.ceil, ops.trunc)
    round_, frac_, fix_ = *_twins(ops.round, ops.frac), trunc_
    relu_, sigmoid_, logit_, sinc_ = _twins(ops.relu, ops.sigmoid, ops.logit, ops.sinc)
    erf_, erfc_, erfinv_, i0_ = _twins(ops.erf, ops.erfc, ops.erfinv, ops.i0)
    lgamma_, digamma_ = _twins(ops.lgamma, ops.digamma)
    polygamma_ = _in_place("polygamma_", _polygamma)
    deg2rad_, rad2deg_, nan_to_num_ = _twins(ops.deg2rad, ops.rad2deg, ops.nan_to_num)
    hypot_, copysign_, atan2_ = _twins(ops.hypot, ops.copysign, ops.atan2)
    arctan2_ = atan2_
    ldexp_, nextafter_, xlogy_ = _twins(ops.ldexp, ops.nextafter, ops.xlogy)
    heaviside_, gcd_, lcm_ = _twins(ops.heaviside, ops.gcd, ops.lcm)
    clamp_, clamp_min_, clamp_max_ = _twins(ops.clamp, ops.clamp_min, ops.clamp_max)
    clip_, lerp_, addcmul_, addcdiv_ = _twins(ops.clip, ops.lerp, ops.addcmul, ops.addcdiv)
    eq_, ne_, lt_, le_ = _twins(ops.eq, ops.ne, ops.lt, ops.le)
    gt_, ge_ = _twins(ops.gt, ops.ge)
    not_equal_, less_, less_equal_, greater_, greater_equal_ = ne_, lt_, le_, gt_, ge_
    logical_and_, logical_or_ = _twins(ops.logical_and, ops.logical_or)
    logical_xor_, logical_not_ = _twins(ops.logical_xor, ops.logical_not)
    bitwise_not_ = _in_place("bitwise_not_", ops.bitwise_not)
    __ilshift__ = bitwise_left_shift_ = _in_place("bitwise_left_shift_", ops.bitwise_left_shift)
    __irshift__ = bitwise_right_shift_ = _in_place("bitwise_right_shift_", ops.bitwise_right_shift)
    cumsum_, cumprod_, renorm_ = _twins(ops.cumsum, ops.cumprod, ops.renorm)
    addmm_, addmv_, addr_ = _twins(ops.addmm, ops.addmv, ops.addr)
    addbmm_, baddbmm_ = _twins(ops.addbmm, ops.baddbmm)
    masked_fill_ = _in_place("masked_fill_", ops.masked_fill)
    index_add_ = _in_place("index_add_", ops.index_add)
    index_fill_ = _in_place("index_fill_", ops.index_fill)
    scatter_ = _in_place("scatter_", ops.scatter)
    index_copy_ = _in_place("index_copy_", ops.index_copy)
    index_put_ = _in_place("index_put_", ops.index_put)
    index_reduce_ = _in_place("index_reduce_", ops.index_reduce)
    put_ = _in_place("put_", ops.put)
    scatter_add_ = _in_place("scatter_add_", ops.scatter_add)
    scatter_reduce_ = _in_place("scatter_reduce_", ops.scatter_reduce)
    masked_scatter_ = _in_place("masked_scatter_", ops.masked_scatter)
    tril_, triu_ = _in_place("tril_", ops.tril), _in_place("triu_", ops.triu)
    fill_diagonal_ = ops.fill_diagonal_
    transpose_, t_ = _reshaping("transpose_", ops.transpose), _reshaping("t_", ops.t)
    swapaxes_ = swapdims_ = _reshaping("swapaxes_", ops.swapaxes)
    squeeze_ = _reshaping("squeeze_", ops.squeeze)
    unsqueeze_ = _reshaping("unsqueeze_", ops.unsqueeze)
    fill_, copy_ = _in_place("fill_", _fill), _in_place("copy_", _copy)
    zero_ = _in_place("zero_", ops.zeros_like)
    uniform_, normal_, random_ = ops.uniform_, ops.normal_, ops.random_
    exponential_, geometric_ = ops.exponential_, ops.geometric_
    log_normal_, cauchy_, multinomial = ops.log_normal_, ops.cauchy_, ops.multinomial
    bernoulli, bernoulli_ = ops.bernoulli, ops.bernoulli_


class PendingTensor(Pending, Tensor):
    """A tensor whose array is not computed yet; it becomes a plain one when it is looked at."""

    __slots__ = ()

    # A sum may be put off together with an operand; everything else looks at the array.
    __add__ = add = add_to_pending
    __iadd__ = add_ = _in_place("add_", add_to_pending, fresh=True)

    __radd__ = _reflected(add_to_pending)

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        return Size(held(self).shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(held(self).shape)

    def dim(self) -> int:
        """Return the number of dimensions."""
        return len(held(self).shape)

    def numel(self) -> int:
        """Return the number of elements."""
        return self.shape.numel()

    nelement = numel


for _name in ("__name__", "__qualname__", "__doc__"):
    setattr(PendingTensor, _name, getattr(Tensor, _name))
TensorBase.public_class, TensorBase.pending_class = Tensor, PendingTensor
