"""Reductions against NumPy and SciPy."""

import math

import numpy as np
import pytest
from suite import OpCase, OpSuite

from tinyconv import ops

special = pytest.importorskip("scipy.special")
S = (2, 3, 4)
INTEGERS = np.array([[3, 0, -2], [0, 0, 5]])
BOOLS = np.array([[True, False, True], [False, False, False]])
ONE_ZERO = np.array([[1.5, 0.0, -2.0], [0.5, 3.0, 2.0]])
TWO_ZEROS = np.array([[0.0, 0.0, -2.0, 3.0], [0.5, 3.0, 2.0, 0.0]])
NON_ZERO = {"low": 0.3, "high": 2.0}


def _dims(name, op, oracle, dims=(None, 1, -1, (0, 2)), shape=S, **kwargs):
    """The reduction over each of ``dims``, without and with ``keepdim``."""
    return [
        OpCase(
            f"{name} dim={dim} keepdim={keep}",
            lambda x, d=dim, k=keep: op(x, d, keepdim=k),
            [shape],
            lambda x, d=dim, k=keep: oracle(x, axis=d, keepdims=k),
            **kwargs,
        )
        for dim in dims
        for keep in (False, True)
    ]


def _norm(p):
    def oracle(x, axis, keepdims):
        size = np.abs(x)
        if math.isinf(p):
            return (np.max if p > 0 else np.min)(size, axis=axis, keepdims=keepdims)
        if p == 0:
            return np.sum(x != 0, axis=axis, keepdims=keepdims).astype(x.dtype)
        return np.sum(size**p, axis=axis, keepdims=keepdims) ** (1 / p)

    return oracle


class TestSums(OpSuite):
    CASES = [
        *_dims("sum", ops.sum, np.sum),
        *_dims("mean", ops.mean, np.mean),
        OpCase("sum 0-d", ops.sum, [()], np.sum),
        OpCase("sum 0-d dim", lambda x: ops.sum(x, -1), [()], np.sum),
        OpCase("sum no dimension", lambda x: ops.sum(x, ()), [S], np.sum),
        OpCase("sum zero size", lambda x: ops.sum(x, 1), [(2, 3)], lambda x: x.sum(1),
               zero_size=True),
        OpCase("sum of nothing", lambda x: ops.sum(x, 0), [(2, 3)], lambda x: x.sum(0),
               zero_size=True),
        OpCase("mean 0-d", ops.mean, [()], np.mean),
        OpCase("sum integers", lambda x: ops.sum(x, 1), [INTEGERS], lambda x: x.sum(1),
               gradient=False),
        OpCase("sum bools", lambda x: ops.sum(x, 1), [BOOLS], lambda x: x.sum(1), gradient=False),
        OpCase("sum_to_size", lambda x: ops.sum_to_size(x, 3, 1), [S],
               lambda x: x.sum((0, 2)).reshape(3, 1)),
        OpCase("sum_to_size tuple", lambda x: ops.sum_to_size(x, (2, 1, 4)), [S],
               lambda x: x.sum(1, keepdims=True)),
        OpCase("sum_to_size scalar", lambda x: ops.sum_to_size(x, ()), [S], np.sum),
        OpCase("sum_to_size itself", lambda x: ops.sum_to_size(x, *S), [S], lambda x: x),
        OpCase("cumsum", lambda x: ops.cumsum(x, 0), [S], lambda x: x.cumsum(0), zero_size=True),
        OpCase("cumsum last", lambda x: ops.cumsum(x, -1), [S], lambda x: x.cumsum(-1)),
        OpCase("cumsum 0-d", lambda x: ops.cumsum(x, 0), [()], lambda x: x),
        OpCase("cumsum bools", lambda x: ops.cumsum(x, 1), [BOOLS], lambda x: x.cumsum(1),
               gradient=False),
    ]  # fmt: skip


class TestProducts(OpSuite):
    CASES = [
        *_dims("prod", ops.prod, np.prod, dims=(None, 0, -1), shape=(2, 3), **NON_ZERO),
        OpCase("prod one zero", ops.prod, [ONE_ZERO[0]], np.prod),
        OpCase("prod one zero in a row", lambda x: ops.prod(x, 1), [ONE_ZERO], lambda x: x.prod(1)),
        OpCase("prod two zeros", lambda x: ops.prod(x, 1), [TWO_ZEROS], lambda x: x.prod(1)),
        OpCase("prod two zeros column", lambda x: ops.prod(x, 0, keepdim=True), [TWO_ZEROS],
               lambda x: x.prod(0, keepdims=True)),
        OpCase("prod all zeros", ops.prod, [np.zeros(3)], np.prod),
        OpCase("prod of nothing", lambda x: ops.prod(x, 0), [(2, 3)], lambda x: x.prod(0),
               zero_size=True),
        OpCase("prod 0-d", ops.prod, [()], np.prod),
        OpCase("prod integers", lambda x: ops.prod(x, 1), [INTEGERS], lambda x: x.prod(1),
               gradient=False),
    ]  # fmt: skip


class TestExtrema(OpSuite):
    CASES = [
        *_dims("amax", ops.amax, np.max, distinct=True),
        *_dims("amin", ops.amin, np.min, distinct=True),
        OpCase("max", ops.max, [S], np.max, distinct=True),
        OpCase("min", ops.min, [S], np.min, distinct=True),
        OpCase("max 0-d", ops.max, [()], np.max),
        OpCase("max dim", lambda x: ops.max(x, 1), [S], lambda x: (x.max(1), x.argmax(1)),
               distinct=True),
        OpCase("min dim", lambda x: ops.min(x, -1, True), [S],
               lambda x: (x.min(-1, keepdims=True), x.argmin(-1, keepdims=True)), distinct=True),
        OpCase("max dim 0-d", lambda x: ops.max(x, 0), [()], lambda x: (x, np.array(0))),
        OpCase("max zero size", lambda x: ops.max(x, 1), [(2, 3)],
               lambda x: (x.max(1), x.argmax(1)), distinct=True, zero_size=True),
        OpCase("max with ties", lambda x: ops.max(x, 1), [np.round(INTEGERS / 4)],
               lambda x: (x.max(1), x.argmax(1)), gradient=False),
        OpCase("max integers", lambda x: ops.max(x, 0), [INTEGERS],
               lambda x: (x.max(0), x.argmax(0)), gradient=False),
        OpCase("amax bools", lambda x: ops.amax(x, 1), [BOOLS], lambda x: x.max(1), gradient=False),
        OpCase("max other", ops.max, [S, (4,)], np.maximum),
        OpCase("min other", lambda a, b: ops.min(a, other=b), [S, (4,)], np.minimum),
        *_dims("argmax", ops.argmax, np.argmax, dims=(None, 0, -1), gradient=False),
        *_dims("argmin", ops.argmin, np.argmin, dims=(None, 0, -1), gradient=False),
        OpCase("argmax bools", lambda x: ops.argmax(x, 1), [BOOLS], lambda x: x.argmax(1),
               gradient=False),
    ]  # fmt: skip


class TestStatistics(OpSuite):
    CASES = [
        *_dims("var", ops.var, lambda x, **k: np.var(x, ddof=1, **k), dims=(None, (0, 2))),
        *_dims("std", ops.std, lambda x, **k: np.std(x, ddof=1, **k), dims=(None, 1)),
        OpCase("var biased", lambda x: ops.var(x, 1, unbiased=False), [S], lambda x: x.var(1)),
        OpCase("var positional", lambda x: ops.var(x, False), [S], np.var),
        OpCase("std correction", lambda x: ops.std(x, 1, correction=0), [S], lambda x: x.std(1)),
        OpCase("var far from 0", lambda x: ops.var(x, 0), [(3, 2)], lambda x: x.var(0, ddof=1),
               low=1000.0, high=1001.0, rtol32=1e-4),
        OpCase("var_mean", lambda x: ops.var_mean(x, 1), [S],
               lambda x: (x.var(1, ddof=1), x.mean(1))),
        OpCase("std_mean", lambda x: ops.std_mean(x, (0, 1), correction=0, keepdim=True), [S],
               lambda x: (x.std((0, 1), keepdims=True), x.mean((0, 1), keepdims=True))),
        *[
            case
            for p in (2, 1, 3, 0.5, -1, math.inf, -math.inf, 0)
            for case in _dims(f"norm {p}", lambda x, d, keepdim, p=p: ops.norm(x, p, d, keepdim),
                              _norm(p), dims=(None, (0, 2)), shape=(2, 2, 3), distinct=True,
                              high=2.5)
        ],
        OpCase("norm fro", ops.norm, [S], lambda x: np.sqrt((x * x).sum())),
        OpCase("norm 0-d", ops.norm, [()], np.abs),
    ]  # fmt: skip


def _truth(op, oracle):
    return [
        OpCase(
            f"{op.__name__} {array.dtype} dim={dim}", lambda x, d=dim: op(x, d), [array],
            lambda x, d=dim: oracle(x, axis=d), gradient=False, zero_size=True,
        )
        for array in (TWO_ZEROS, INTEGERS, BOOLS)
        for dim in (None, 0, (0, 1))
    ]  # fmt: skip


class TestTruth(OpSuite):
    CASES = [
        *_truth(ops.any, np.any),
        *_truth(ops.all, np.all),
        *_truth(ops.count_nonzero, np.count_nonzero),
    ]


class TestLogSumExp(OpSuite):
    CASES = [
        *_dims("logsumexp", ops.logsumexp, special.logsumexp, dims=(0, -1, (0, 2))),
        OpCase("logsumexp 0-d", lambda x: ops.logsumexp(x, 0), [()], lambda x: x),
        OpCase("logsumexp large", lambda x: ops.logsumexp(x, 1), [(2, 3)],
               lambda x: special.logsumexp(x, axis=1), low=990.0, high=1010.0),
        OpCase("logsumexp of nothing", lambda x: ops.logsumexp(x, 0), [(2, 3)],
               lambda x: special.logsumexp(x, axis=0) if x.size else np.full(3, -np.inf),
               zero_size=True),
    ]  # fmt: skip
