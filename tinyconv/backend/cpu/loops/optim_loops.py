"""The loops of the optimizers, over the memory of many arrays at once.

A training step changes dozens of parameters, most of them small, so what a call costs would
outweigh the arithmetic. These loops get one table with the *addresses* of all arrays instead:

    table[0]      how many elements the parameters up to this one have together
    table[1:]     address of each parameter, of its gradient, of what is remembered ...

Think of all parameters as laid end to end on one line. A task is a range ``first`` to ``last`` of
that line: a piece of a large parameter, or a number of small ones. :func:`survey` fills the table,
if all arrays of a parameter are dense and in the same order of memory, whatever that order is.
"""

from __future__ import annotations

from itertools import chain
from math import sqrt
from typing import Any

import numpy as np
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from ..compiler.jit import kernel
from ..parallel.region import shared

#: Bytes before NumPy's own fields in an array object; they are data, number of dimensions, sizes,
#: strides, base, dtype and flags, one word each (this is part of NumPy's binary interface).
HEADER = object.__basicsize__
#: Elements that a loop in two parts does at a time, so that they stay in the first cache.
CHUNK = 1024


@intrinsic
def memory(typingctx, like, address, length):
    """Return ``length`` elements at an address as an array of the dtype of ``like``."""
    result = types.Array(like.dtype, 1, "C")
    signature = result(like, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = arrayobj.make_array(result)(context, builder)
        itemsize = context.get_constant(types.intp, like.dtype.bitwidth // 8)
        arrayobj.populate_array(
            array,
            data=builder.inttoptr(args[1], array.data.type),
            shape=cgutils.pack_array(builder, [args[2]]),
            strides=cgutils.pack_array(builder, [itemsize]),
            itemsize=itemsize,
            meminfo=None,
        )
        return array._getvalue()

    return signature, generate


@njit(nogil=True)
def part(kind, table, role, number, first, last):
    """Return what of array ``number`` of a role lies between ``first`` and ``last`` of the line."""
    start = table[0, number - 1] if number > 0 else 0
    first, last = max(first, start), min(last, table[0, number])
    address = table[1 + role, number] + (first - start) * kind.itemsize
    return memory(kind, address, max(last - first, 0))


@njit(nogil=True)
def is_dense(sizes, strides, itemsize):
    """Return whether the elements fill their memory without a gap, in any order of the axes."""
    expected = itemsize
    for _ in range(len(sizes)):
        for axis in range(len(sizes)):
            if sizes[axis] > 1 and strides[axis] == expected:
                expected *= sizes[axis]
                break
    total = itemsize
    for axis in range(len(sizes)):
        total *= sizes[axis]
    return expected == total


@kernel
def survey(objects, header, dtype, itemsize, table):
    """Fill the table for the array objects at these addresses, (roles, parameters).

    Returns whether the loops can be used: all arrays are aligned, of the wanted dtype and (but for
    gradients) writable; parameters are dense, the others in the same order of memory.
    """
    roles, count = objects.shape
    end = 0
    for i in range(count):
        own = memory(objects, objects[0, i] + header, 7)
        rank = own[1] & 0xFFFFFFFF
        sizes, strides = memory(objects, own[2], rank), memory(objects, own[3], rank)
        size = 1
        for axis in range(rank):
            size *= sizes[axis]
        end += size
        table[0, i] = end
        if size > 0 and not is_dense(sizes, strides, itemsize):
            return False
        for role in range(roles):
            fields = memory(objects, objects[role, i] + header, 7)
            needed = 0x100 if role == 1 else 0x500  # aligned, and writable
            if fields[5] != dtype or fields[6] & needed != needed:
                return False
            table[1 + role, i] = fields[0]
            if fields[1] & 0xFFFFFFFF != rank:
                return False
            its_sizes, its_strides = (
                memory(objects, fields[2], rank),
                memory(objects, fields[3], rank),
            )
            for axis in range(rank):
                if its_sizes[axis] != sizes[axis]:
                    return False
                if its_strides[axis] != strides[axis] and sizes[axis] > 1:
                    return False
    return True


def table_of(lists: list[Any], kind: Any) -> Any:
    """Return the table for lists of arrays, or ``None`` if the loops cannot be used for them."""
    count = len(lists[0])
    if not TRUSTED or {type(array) for arrays in lists for array in arrays} != {np.ndarray}:
        return None
    objects = np.fromiter(map(id, chain.from_iterable(lists)), np.int64, len(lists) * count)
    table = np.empty((len(lists) + 1, count), np.int64)
    fits = survey(objects.reshape(len(lists), count), HEADER, id(kind.dtype), kind.itemsize, table)
    return table if fits else None


def _trusted() -> bool:
    """Return whether array objects look as expected, tried on two of them."""
    a, b = np.empty((3, 5), np.float32)[:, 1:4], np.empty((2, 4), np.float64).T
    table = np.zeros((2, 1), np.int64)
    address = b.__array_interface__["data"][0]
    return (
        not survey(np.array([[id(a)]]), HEADER, id(a.dtype), 4, table)
        and survey(np.array([[id(b)]]), HEADER, id(b.dtype), 8, table)
        and table.tolist() == [[8], [address]]
    )


@kernel
def sgd_range(
    board, seat, first, last, kind, table, lr, momentum, share, weight_decay, nesterov, sign
):
    """Do a range of the line; ``share`` is ``1 - dampening``, ``sign`` -1 to go uphill."""
    if shared(board, seat):
        return
    number = kind.dtype.type
    rate, keep, enter = number(lr), number(momentum), number(share)
    decay, sign = number(weight_decay), number(sign)
    for i in range(table.shape[1]):
        param, grad = part(kind, table, 0, i, first, last), part(kind, table, 1, i, first, last)
        if table.shape[0] == 3:
            for k in range(len(param)):
                g = sign * grad[k]
                if weight_decay != 0:
                    g += decay * param[k]
                param[k] -= rate * g
            continue
        velocity = part(kind, table, 2, i, first, last)
        for k in range(len(param)):
            g = sign * grad[k]
            if weight_decay != 0:
                g += decay * param[k]
            v = keep * velocity[k] + enter * g
            velocity[k] = v
            if nesterov:
                v = g + keep * v
            param[k] -= rate * v


@kernel
def adam_range(
    board, seat, first, last, kind, table, rate, beta1, beta2, root, eps, weight_decay, shrink, sign
):
    """Do a range; ``rate`` and ``root`` hold the corrections, ``shrink`` the decoupled decay."""
    if shared(board, seat):
        return
    number = kind.dtype.type
    rate, root, eps, shrink = number(rate), number(root), number(eps), number(shrink)
    new1, keep2, new2 = number(1 - beta1), number(beta2), number(1 - beta2)
    decay, sign = number(weight_decay), number(sign)
    for i in range(table.shape[1]):
        params, grads = part(kind, table, 0, i, first, last), part(kind, table, 1, i, first, last)
        means, squares = part(kind, table, 2, i, first, last), part(kind, table, 3, i, first, last)
        if table.shape[0] == 5:
            for k in range(len(params)):
                p = params[k] * shrink
                g = sign * grads[k]
                if weight_decay != 0:
                    g += decay * p
                m = means[k] + new1 * (g - means[k])
                v = keep2 * squares[k] + new2 * (g * g)
                means[k], squares[k] = m, v
                params[k] = p - rate * (m / (sqrt(v) * root + eps))
            continue
        largest = part(kind, table, 4, i, first, last)
        for start in range(0, len(params), CHUNK):
            stop = min(start + CHUNK, len(params))
            p, g, m = params[start:stop], grads[start:stop], means[start:stop]
            v, top = squares[start:stop], largest[start:stop]
            for k in range(len(p)):
                d = sign * g[k]
                if weight_decay != 0:
                    d += decay * (p[k] * shrink)
                m[k] += new1 * (d - m[k])
                v[k] = keep2 * v[k] + new2 * (d * d)
            for k in range(len(p)):
                # NaN wins, as in NumPy's maximum.
                t = v[k] if v[k] > top[k] or v[k] != v[k] else top[k]
                top[k] = t
                p[k] = p[k] * shrink - rate * (m[k] / (sqrt(t) * root + eps))


@kernel
def rmsprop_range(
    board,
    seat,
    first,
    last,
    kind,
    table,
    lr,
    alpha,
    eps,
    weight_decay,
    momentum,
    centered,
    moving,
    sign,
):
    """Do a range, in steps that leave in ``step`` what is taken off the parameters."""
    if shared(board, seat):
        return
    number = kind.dtype.type
    rate, keep, new, eps = number(lr), number(alpha), number(1 - alpha), number(eps)
    decay, sign, carry = number(weight_decay), number(sign), number(momentum)
    step = np.empty(CHUNK, kind.dtype)
    for i in range(table.shape[1]):
        params, grads = part(kind, table, 0, i, first, last), part(kind, table, 1, i, first, last)
        squares = part(kind, table, 2, i, first, last)
        means = part(kind, table, 3, i, first, last) if centered else squares
        velocities = part(kind, table, table.shape[0] - 2, i, first, last)
        for start in range(0, len(params), CHUNK):
            stop = min(start + CHUNK, len(params))
            p, g, v = params[start:stop], grads[start:stop], squares[start:stop]
            for k in range(len(p)):
                d = sign * g[k]
                if weight_decay != 0:
                    d += decay * p[k]
                step[k] = d
                v[k] = keep * v[k] + new * (d * d)
            if centered:
                m = means[start:stop]
                for k in range(len(p)):
                    m[k] += new * (step[k] - m[k])
                    step[k] = step[k] / (sqrt(v[k] - m[k] * m[k]) + eps)
            else:
                for k in range(len(p)):
                    step[k] = step[k] / (sqrt(v[k]) + eps)
            if moving:
                u = velocities[start:stop]
                for k in range(len(p)):
                    u[k] = carry * u[k] + step[k]
                    p[k] -= rate * u[k]
            else:
                for k in range(len(p)):
                    p[k] -= rate * step[k]


@kernel
def adagrad_range(board, seat, first, last, kind, table, lr, eps, weight_decay, sign):
    """Do a range of the line."""
    if shared(board, seat):
        return
    number = kind.dtype.type
    rate, eps, decay, sign = number(lr), number(eps), number(weight_decay), number(sign)
    for i in range(table.shape[1]):
        param, grad = part(kind, table, 0, i, first, last), part(kind, table, 1, i, first, last)
        total = part(kind, table, 2, i, first, last)
        for k in range(len(param)):
            g = sign * grad[k]
            if weight_decay != 0:
                g += decay * param[k]
            s = total[k] + g * g
            total[k] = s
            param[k] -= rate * (g / (sqrt(s) + eps))


@kernel
def adadelta_range(board, seat, first, last, kind, table, lr, rho, eps, weight_decay, sign):
    """Do a range of the line."""
    if shared(board, seat):
        return
    number = kind.dtype.type
    rate, keep, new, eps = number(lr), number(rho), number(1 - rho), number(eps)
    decay, sign = number(weight_decay), number(sign)
    for i in range(table.shape[1]):
        param, grad = part(kind, table, 0, i, first, last), part(kind, table, 1, i, first, last)
        square, moved = part(kind, table, 2, i, first, last), part(kind, table, 3, i, first, last)
        for k in range(len(param)):
            g = sign * grad[k]
            if weight_decay != 0:
                g += decay * param[k]
            v = keep * square[k] + new * (g * g)
            step = sqrt(moved[k] + eps) / sqrt(v + eps) * g
            square[k] = v
            moved[k] = keep * moved[k] + new * (step * step)
            param[k] -= rate * step


#: Whether addresses can be read from array objects here; else the reference serves.
TRUSTED = _trusted()
