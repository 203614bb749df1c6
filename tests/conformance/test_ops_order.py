"""Medians, quantiles, modes, running results, differences and covariances against NumPy."""

import itertools

import numpy as np
import pytest
from suite import OpCase, OpSuite

from tinyconv import ops

special = pytest.importorskip("scipy.special")

S = (3, 4, 2)
ODD, EVEN = (3, 5), (3, 4)
NANS = np.array([[1.0, np.nan, 3.0, -2.0], [np.nan, 2.5, 0.5, 7.0], [4.0, 6.0, -1.0, 0.0]])
INTEGERS = np.array([[3, 0, -2, 0], [5, 0, 5, 5]])
BOOLS = np.array([[True, False, True], [False, False, False]])
ZEROS = np.array([[0.0, 2.0, 0.0, 3.0], [0.5, 3.0, 0.0, 2.0], [1.5, -2.0, 1.0, 0.5]])


def ranked(x, k, axis=-1):
    """The k-th smallest element along an axis, from 0, and its place."""
    order = np.argsort(x, axis, kind="stable")
    place = np.take(order, k, axis)
    return np.take_along_axis(x, np.expand_dims(place, axis), axis).squeeze(axis), place


def lower_median(x, axis=-1):
    return ranked(x, (x.shape[axis] - 1) // 2, axis)


def np_mode(x, axis=-1):
    x = np.moveaxis(x, axis, -1)
    values, places = np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], int)
    for index in np.ndindex(x.shape[:-1]):
        found, counts = np.unique(x[index], return_counts=True, equal_nan=False)
        values[index] = found[counts.argmax()]
        places[index] = np.nonzero(x[index] == values[index])[0][-1]
    return values, places


def np_running(x, axis, accumulate):
    values = accumulate(x, axis)
    moved, expected = np.moveaxis(x, axis, -1), np.moveaxis(values, axis, -1)
    places = np.empty(expected.shape, int)
    for index in np.ndindex(expected.shape):
        row = moved[index[:-1]][: index[-1] + 1]
        places[index] = np.nonzero(row == expected[index])[0][-1]
    return values, np.moveaxis(places, -1, axis)


def logcumsumexp(x, axis=0):
    parts = [special.logsumexp(np.take(x, range(i + 1), axis), axis)
             for i in range(x.shape[axis])]  # fmt: skip
    return np.stack(parts, axis) if parts else x


class TestOrder(OpSuite):
    CASES = [
        OpCase("median odd", ops.median, [(7,)], np.median, distinct=True),
        OpCase("median of all", ops.median, [ODD], np.median, distinct=True),
        OpCase("median lower", ops.median, [EVEN], lambda x: np.sort(x, None)[5], distinct=True),
        OpCase("median 0-d", ops.median, [()], lambda x: x),
        OpCase("median dim", lambda x: ops.median(x, 1), [EVEN], lower_median, distinct=True,
               zero_size=True),
        OpCase("median first dim", lambda x: ops.median(x, 0), [S],
               lambda x: lower_median(x, 0), distinct=True),
        OpCase("median keepdim", lambda x: ops.median(x, -2, True), [S],
               lambda x: tuple(np.expand_dims(r, 1) for r in lower_median(x, 1)), distinct=True),
        OpCase("median dim 0-d", lambda x: ops.median(x, -1), [()], lambda x: (x, np.array(0))),
        OpCase("median integers", ops.median, [INTEGERS], lambda x: np.sort(x, None)[3],
               gradient=False),
        OpCase("nanmedian", ops.nanmedian, [NANS], lambda x: np.sort(x, None)[4],
               gradient=False),
        OpCase("nanmedian dim", lambda x: ops.nanmedian(x, 1), [NANS],
               lambda x: (np.array([1.0, 2.5, 0.0]), np.array([0, 1, 3])), gradient=False),
        OpCase("nanmedian without NaN", lambda x: ops.nanmedian(x, 1), [EVEN], lower_median,
               distinct=True),
        *[
            OpCase(f"kthvalue {k} dim={dim}", lambda x, k=k, d=dim: ops.kthvalue(x, k, d), [S],
                   lambda x, k=k, d=dim: ranked(x, k - 1, d), distinct=True)
            for k, dim in ((1, 0), (3, 0), (2, -1), (4, 1))
        ],
        OpCase("kthvalue keepdim", lambda x: ops.kthvalue(x, 2, keepdim=True), [EVEN],
               lambda x: tuple(np.expand_dims(r, 1) for r in ranked(x, 1)), distinct=True,
               zero_size=True),
        OpCase("kthvalue 0-d", lambda x: ops.kthvalue(x, 1), [()], lambda x: (x, np.array(0))),
        OpCase("kthvalue integers", lambda x: ops.kthvalue(x, 3), [INTEGERS],
               lambda x: ranked(x, 2), gradient=False),
        OpCase("mode", ops.mode, [EVEN], np_mode, distinct=True, zero_size=True),
        OpCase("mode integers", ops.mode, [INTEGERS], np_mode, gradient=False),
        OpCase("mode bools", ops.mode, [BOOLS], np_mode, gradient=False),
        OpCase("mode many", lambda x: ops.mode(x, 0, True),
               [np.random.default_rng(0).integers(0, 4, (23, 5))],
               lambda x: tuple(r[None] for r in np_mode(x, 0)), gradient=False),
        OpCase("mode 0-d", ops.mode, [()], lambda x: (x, np.array(0))),
        OpCase("aminmax", ops.aminmax, [S], lambda x: (x.min(), x.max()), distinct=True),
        OpCase("aminmax dim", lambda x: ops.aminmax(x, dim=1), [S],
               lambda x: (x.min(1), x.max(1)), distinct=True, zero_size=True),
        OpCase("aminmax keepdim", lambda x: ops.aminmax(x, dim=-1, keepdim=True), [S],
               lambda x: (x.min(-1, keepdims=True), x.max(-1, keepdims=True)), distinct=True),
        OpCase("aminmax bools", ops.aminmax, [BOOLS], lambda x: (x.min(), x.max()),
               gradient=False),
    ]  # fmt: skip


class TestQuantile(OpSuite):
    CASES = [
        *[
            OpCase(f"quantile {method} q={q} dim={dim} keepdim={keep}",
                   lambda x, q=q, d=dim, k=keep, m=method: ops.quantile(
                       x, q, d, k, interpolation=m),
                   [S], lambda x, q=q, d=dim, k=keep, m=method: np.quantile(
                       x, q, axis=d, keepdims=k, method=m),
                   distinct=True)
            for method in ("linear", "lower", "higher", "midpoint", "nearest")
            for q, dim, keep in ((0.3, None, False), (0.62, 1, True), (1, 0, False), (0, -1, True))
        ],
        *[
            OpCase(f"quantile of several q, dim={dim} keepdim={keep}",
                   lambda x, d=dim, k=keep: ops.quantile(
                       x, ops.tensor([0.2, 0.9, 0.55], dtype=x.dtype), d, k),
                   [S], lambda x, d=dim, k=keep: np.quantile(
                       x, np.array([0.2, 0.9, 0.55]), axis=d, keepdims=k),
                   distinct=True, rtol32=1e-5, bfloat16=False)  # the shares are rounded, too
            for dim, keep in itertools.product((None, 1), (False, True))
        ],
        OpCase("quantile by q", lambda x, q: ops.quantile(x, q, 0),
               [(5, 2), np.array([0.1, 0.45])], lambda x, q: np.quantile(x, q, axis=0),
               distinct=True),
        OpCase("quantile 0-d", lambda x: ops.quantile(x, 0.3, 0), [()], lambda x: x),
        OpCase("quantile with NaN", lambda x: ops.quantile(x, 0.4, 1), [NANS],
               lambda x: np.quantile(x, 0.4, axis=1), gradient=False),
        *[
            OpCase(f"nanquantile dim={dim}", lambda x, d=dim: ops.nanquantile(x, 0.4, d), [NANS],
                   lambda x, d=dim: np.nanquantile(x, 0.4, axis=d), gradient=False)
            for dim in (None, 0, 1)
        ],
    ]  # fmt: skip


class TestRunning(OpSuite):
    CASES = [
        *[
            OpCase(f"cumprod dim={dim}", lambda x, d=dim: ops.cumprod(x, d), [S],
                   lambda x, d=dim: x.cumprod(d), zero_size=True)
            for dim in (0, 1, -1)
        ],
        OpCase("cumprod zeros", lambda x: ops.cumprod(x, 1), [ZEROS], lambda x: x.cumprod(1)),
        OpCase("cumprod zeros down", lambda x: ops.cumprod(x, 0), [ZEROS], lambda x: x.cumprod(0)),
        OpCase("cumprod 0-d", lambda x: ops.cumprod(x, 0), [()], lambda x: x),
        OpCase("cumprod integers", lambda x: ops.cumprod(x, 1), [INTEGERS],
               lambda x: x.cumprod(1), gradient=False),
        *[
            OpCase(f"cummax dim={dim}", lambda x, d=dim: ops.cummax(x, d), [S],
                   lambda x, d=dim: np_running(x, d, np.maximum.accumulate), distinct=True,
                   zero_size=True)
            for dim in (0, 1, -1)
        ],
        OpCase("cummin", lambda x: ops.cummin(x, 1), [(2, 9)],
               lambda x: np_running(x, 1, np.minimum.accumulate), distinct=True),
        OpCase("cummax ties", lambda x: ops.cummax(x, 1), [INTEGERS],
               lambda x: np_running(x, 1, np.maximum.accumulate), gradient=False),
        OpCase("cummin bools", lambda x: ops.cummin(x, 1), [BOOLS],
               lambda x: np_running(x, 1, np.minimum.accumulate), gradient=False),
        OpCase("cummax 0-d", lambda x: ops.cummax(x, 0), [()], lambda x: (x, np.array(0))),
        *[
            OpCase(f"logcumsumexp dim={dim}", lambda x, d=dim: ops.logcumsumexp(x, d), [S],
                   lambda x, d=dim: logcumsumexp(x, d), zero_size=True)
            for dim in (0, 1)
        ],
        OpCase("logcumsumexp large", lambda x: ops.logcumsumexp(x, 0), [(6,)], logcumsumexp,
               low=995.0, high=1005.0),
        OpCase("logcumsumexp 0-d", lambda x: ops.logcumsumexp(x, 0), [()], lambda x: x),
    ]  # fmt: skip


class TestNansums(OpSuite):
    CASES = [
        *[
            OpCase(f"{name} {kind} dim={dim}", lambda x, o=op, d=dim: o(x, d, True), [array],
                   lambda x, o=oracle, d=dim: o(x, axis=d, keepdims=True),
                   gradient=kind == "numbers")
            for name, op, oracle in (("nansum", ops.nansum, np.nansum),
                                     ("nanmean", ops.nanmean, np.nanmean))
            for kind, array in (("numbers", EVEN), ("NaN", NANS))
            for dim in (None, 1, (0, 1))
        ],
        OpCase("nansum integers", ops.nansum, [INTEGERS], np.sum, gradient=False),
    ]  # fmt: skip


FRONT, BACK = (2, 2), (2, 1)
SPACING = np.array([0.0, 0.5, 2.0, 2.5])


class TestDifferences(OpSuite):
    CASES = [
        OpCase("diff", ops.diff, [EVEN], np.diff, zero_size=True),
        OpCase("diff twice", lambda x: ops.diff(x, 2, 0), [EVEN], lambda x: np.diff(x, 2, 0)),
        OpCase("diff too often", lambda x: ops.diff(x, 9), [EVEN], lambda x: np.diff(x, 9)),
        OpCase("diff never", lambda x: ops.diff(x, 0), [EVEN], lambda x: x),
        OpCase("diff joined", lambda x, a, b: ops.diff(x, prepend=a, append=b),
               [(2, 3), FRONT, BACK], lambda x, a, b: np.diff(x, prepend=a, append=b)),
        OpCase("diff bools", ops.diff, [BOOLS], np.diff, gradient=False),
        OpCase("diff integers", ops.diff, [INTEGERS], np.diff, gradient=False),
        OpCase("trapezoid", ops.trapezoid, [EVEN], np.trapezoid, zero_size=True),
        OpCase("trapezoid dx", lambda y: ops.trapezoid(y, dx=0.5, dim=0), [EVEN],
               lambda y: np.trapezoid(y, dx=0.5, axis=0)),
        OpCase("trapezoid x", ops.trapezoid, [EVEN, (4,)], np.trapezoid),
        OpCase("trapz x down", lambda y, x: ops.trapz(y, x, dim=0), [S, (3,)],
               lambda y, x: np.trapezoid(y, x, axis=0)),
        OpCase("trapezoid x of that shape", lambda y, x: ops.trapezoid(y, x, dim=1), [S, S],
               lambda y, x: np.trapezoid(y, x, axis=1)),
        OpCase("trapezoid x broadcasts", lambda y, x: ops.trapezoid(y, x, dim=1), [S, (4, 1)],
               lambda y, x: np.trapezoid(y, np.broadcast_to(x, S), axis=1)),
        OpCase("trapezoid integers", ops.trapezoid, [INTEGERS], np.trapezoid, gradient=False),
        OpCase("cumulative_trapezoid", ops.cumulative_trapezoid, [EVEN, SPACING],
               lambda y, x: np.cumsum((y[:, 1:] + y[:, :-1]) * np.diff(x) / 2, 1)),
    ]  # fmt: skip


COUNTS, WEIGHTS = np.array([1, 3, 0, 2]), np.array([0.5, 1.0, 0.25, 2.0])


def renormed(x, p, axis, most):
    x = np.moveaxis(x, axis, 0)
    size = np.linalg.norm(x.reshape(len(x), -1), p, 1)
    factor = np.where(size > most, most / (size + 1e-7), 1.0)
    return np.moveaxis(x * factor.reshape(-1, *[1] * (x.ndim - 1)), 0, axis)


class TestCovariance(OpSuite):
    CASES = [
        OpCase("cov", ops.cov, [EVEN], np.cov),
        OpCase("cov one variable", ops.cov, [(5,)], np.cov),
        OpCase("cov one row", ops.cov, [(1, 5)], lambda x: np.cov(x).reshape(1, 1)),
        OpCase("cov correction", lambda x: ops.cov(x, correction=0), [EVEN],
               lambda x: np.cov(x, ddof=0)),
        OpCase("cov counts", lambda x: ops.cov(x, fweights=ops.tensor(COUNTS.tolist())), [EVEN],
               lambda x: np.cov(x, fweights=COUNTS)),
        OpCase("cov weights", lambda x, w: ops.cov(x, aweights=w), [EVEN, WEIGHTS],
               lambda x, w: np.cov(x, aweights=w)),
        OpCase("cov both", lambda x, w: ops.cov(
                   x, correction=2, fweights=ops.tensor(COUNTS.tolist()), aweights=w),
               [EVEN, WEIGHTS], lambda x, w: np.cov(x, ddof=2, fweights=COUNTS, aweights=w)),
        OpCase("corrcoef", ops.corrcoef, [EVEN], np.corrcoef),
        OpCase("corrcoef one variable", ops.corrcoef, [(5,)], np.corrcoef),
        *[
            OpCase(f"renorm p={p} dim={dim}",
                   lambda x, p=p, d=dim: ops.renorm(x, p, d, 2.0), [S],
                   lambda x, p=p, d=dim: renormed(x, p, d, 2.0), distinct=True, high=2.5)
            for p, dim in ((2, 0), (1, 1), (3.0, -1), (np.inf, 1))
        ],
        OpCase("renorm leaves short ones", lambda x: ops.renorm(x, 2, 0, 100.0), [EVEN],
               lambda x: x),
    ]  # fmt: skip
