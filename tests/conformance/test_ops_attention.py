"""Scaled dot product attention against a loop over queries, and against PyTorch."""

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated_device
from suite import OpCase, OpSuite, host, tensor

import tinyconv as tc
from tinyconv.errors import ArgumentError, DTypeError, ShapeError
from tinyconv.nn import functional as F

INF = float("inf")
RNG = np.random.default_rng(3)
MASK = np.array([[True, False, True, True], [False] * 4, [False, True, False, False]])
FLOATS = np.where(MASK, RNG.uniform(-1, 1, (2, 3, 4)), -INF)


def _attention(q, k, v, mask=None, causal=False, scale=None):
    """One query after the other, over the keys that it may look at."""
    rows = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(x, (*rows, *x.shape[-2:])) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    bias = np.zeros((q.shape[-2], k.shape[-2]))
    if causal:
        bias = np.triu(np.full_like(bias, -INF), 1)
    if mask is not None:
        bias = np.where(mask, 0, -INF) if mask.dtype == bool else mask
    bias = np.broadcast_to(bias, (*rows, q.shape[-2], k.shape[-2]))
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for place in np.ndindex(*q.shape[:-1]):
        open_keys = bias[place] > -INF
        scores = (k[place[:-1]] @ q[place] * scale + bias[place])[open_keys]
        weights = np.exp(scores - scores.max(initial=-INF)) if scores.size else scores
        values = v[place[:-1]][open_keys]
        out[place] = weights @ values / weights.sum() if scores.size else 0
    return out


def _case(name, shapes, op=None, oracle=_attention, **options):
    run = F.scaled_dot_product_attention
    numpy_options = {("causal" if k == "is_causal" else k): v for k, v in options.items()}
    return OpCase(
        name,
        op or (lambda *args: run(*args, **options)),
        shapes,
        lambda *args: oracle(*args, **numpy_options),
    )


BATCH = [(2, 3, 5), (2, 4, 5), (2, 4, 6)]


class TestAttention(OpSuite):
    CASES = [
        _case("attention", BATCH),
        _case("attention of matrices", [(3, 5), (4, 5), (4, 2)]),
        _case("attention of heads", [(2, 2, 3, 5), (2, 1, 4, 5), (1, 2, 4, 1)]),
        _case("attention causal", [(2, 3, 5), (2, 3, 5), (2, 3, 6)], is_causal=True),
        _case("attention causal, fewer queries", BATCH, is_causal=True),
        _case("attention causal, fewer keys", [(4, 5), (2, 5), (2, 3)], is_causal=True),
        _case("attention scaled", BATCH, scale=-0.7),
        _case("attention bool mask", [*BATCH, MASK]),
        _case("attention mask of keys", [*BATCH, np.array([True, False, True, True])]),
        _case("attention mask a batch", [*BATCH, RNG.uniform(size=(2, 1, 4)) > 0.5]),
        _case("attention float mask", [*BATCH, (2, 3, 4)]),
        _case("attention float mask that broadcasts", [*BATCH, (3, 1)]),
        _case("attention mask of one number", [*BATCH, ()]),
    ]


def test_a_query_that_may_look_nowhere_gets_zero_and_gives_no_gradient(backend):
    q, k, v = (tensor(RNG.uniform(-1, 1, shape), requires_grad=True) for shape in BATCH)
    mask = tensor(FLOATS, requires_grad=True)
    y = F.scaled_dot_product_attention(q, k, v, mask)
    assert not host(y)[:, 1].any()
    (y * y).sum().backward()
    for x in (q, k, v, mask):
        assert np.isfinite(host(x.grad)).all()
    assert not host(q.grad)[:, 1].any()
    assert host(q.grad)[:, 0].any()
    assert not host(mask.grad)[:, 1].any()
    expected = _attention(*(host(x) for x in (q, k, v)), FLOATS)
    np.testing.assert_allclose(host(y), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shapes", [[(2, 0, 5), (2, 4, 5), (2, 4, 6)],
                                    [(2, 3, 5), (2, 0, 5), (2, 0, 6)],
                                    [(0, 3, 5), (0, 4, 5), (0, 4, 6)]])  # fmt: skip
@pytest.mark.parametrize("causal", [True, False])
def test_nothing_to_look_at_or_nobody_who_looks(shapes, causal, backend):
    q, k, v = (tensor(np.ones(shape), requires_grad=True) for shape in shapes)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    np.testing.assert_array_equal(host(y), np.zeros((*shapes[0][:-1], 6)))
    y.sum().backward()
    for x in (q, k, v):
        assert not host(x.grad).any()


def test_heads_share_keys_and_values(backend):
    shapes = (2, 6, 3, 5), (2, 2, 4, 5), (2, 3, 4, 5)
    q, k, v = (tensor(RNG.normal(size=shape)) for shape in shapes)
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    expected = _attention(host(q), host(k).repeat(3, 1), host(v).repeat(2, 1))
    np.testing.assert_allclose(host(y), expected, rtol=1e-9)


def test_dropout_zeroes_and_scales_weights(backend):
    q, k = tensor(np.zeros((1, 400, 2))), tensor(np.zeros((1, 50, 2)))
    eye = tensor(np.eye(50)[None])
    tc.manual_seed(0)
    y = host(F.scaled_dot_product_attention(q, k, eye, dropout_p=0.25))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 50 / 0.75])
    assert 0.24 < (y == 0).mean() < 0.26
    first = F.scaled_dot_product_attention(q, k, eye, None, 0.5, generator=tc.Generator(7))
    again = F.scaled_dot_product_attention(q, k, eye, None, 0.5, generator=tc.Generator(7))
    np.testing.assert_array_equal(host(first), host(again))
    assert not host(F.scaled_dot_product_attention(q, k, eye, dropout_p=1.0)).any()


def test_float16_is_computed_in_float32():
    q, k, v = (RNG.normal(size=shape).astype(np.float16) for shape in BATCH)
    mask = tensor(FLOATS.astype(np.float32))
    y = F.scaled_dot_product_attention(tensor(q) * 8, tensor(k), tensor(v), mask)
    assert y.dtype is tc.float16
    wide = (x.astype(np.float64) for x in (q * 8, k, v))
    np.testing.assert_allclose(host(y), _attention(*wide, FLOATS), rtol=2e-3, atol=1e-3)


A, B = tc.ones(3, 4), tc.ones(2, 3, 4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: f(A, A, A, tc.ones(3, 3).bool(), is_causal=True), ArgumentError, "not both"),
        (lambda f: f(A, A, A, dropout_p=1.5), ArgumentError, "from 0 to 1, got 1.5"),
        (lambda f: f(A, A, [1.0]), DTypeError, "'value' must be a Tensor, got list"),
        (lambda f: f(A.long(), A, A), DTypeError, "'query' must be floating point"),
        (lambda f: f(A, A.double(), A), DTypeError, "one dtype, got .*float32, .*float64 and"),
        (lambda f: f(A, A, A, tc.ones(3, 3).long()), DTypeError, "attn_mask must be bool or float"),
        (lambda f: f(A, A, A, tc.ones(3, 3).double()), DTypeError, "bool, float32 .* got .*64"),
        (lambda f: f(A, A, A, tc.ones(3, 4)), ShapeError, r"\(3, 3\), got \(3, 4\)"),
        (lambda f: f(A, A, A, tc.ones(2, 3, 3)), ShapeError, r"\(3, 3\), got \(2, 3, 3\)"),
        (lambda f: f(A[0], A, A), ShapeError, r"do not fit together: got shapes \(4,\), \(3, 4\)"),
        (lambda f: f(A, A[:, :3], A), ShapeError, r"do not fit .* \(3, 3\) and \(3, 4\)"),
        (lambda f: f(A, A[:2], A), ShapeError, r"do not fit .* \(2, 4\) and \(3, 4\)"),
        (lambda f: f(B, tc.ones(3, 3, 4), B), ShapeError, "do not fit"),
        (lambda f: f(B, tc.ones(3, 3, 4), B, enable_gqa=True), ShapeError, "be a multiple of"),
        (lambda f: f(A, A, A, enable_gqa=True), ShapeError, "enable_gqa"),
    ],
)
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(F.scaled_dot_product_attention)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": MASK}, {"attn_mask": FLOATS},
     {"attn_mask": FLOATS[0].astype(np.float32)}],
    ids=["plain", "causal", "scale", "bool", "float", "float32"],
)  # fmt: skip
def test_against_pytorch(options, dtype):
    torch = pytest.importorskip("torch")
    arrays = [RNG.normal(size=(2, *shape)).astype(dtype) for shape in BATCH]
    results = []
    for library, f in ((tc, F), (torch, torch.nn.functional)):
        tensors = [library.tensor(a, requires_grad=True) for a in arrays]
        given = dict(options)
        if "attn_mask" in given:
            mask = given["attn_mask"]
            wide = mask.dtype == np.float64
            given["attn_mask"] = library.tensor(mask.astype(dtype) if wide else mask)
        y = f.scaled_dot_product_attention(*tensors, **given)
        (y * y).sum().backward()
        results.append([y.detach().numpy(), *(x.grad.numpy() for x in tensors)])
    tolerance = 1e-11 if dtype == "float64" else 2e-5
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


# -- half precision where it is multiplied as such ------------------------------------------------


@pytest.mark.skipif(COMPILER is None, reason="needs g++")
@pytest.mark.parametrize("dtype", [tc.bfloat16, tc.float16])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"mask": True}, {"scale": 0.3}])
def test_half_precision_on_a_gpu(options, dtype):
    """Scores and softmax are float32: the error is that of rounding weights and results once."""
    mask = options.get("mask")
    shapes = (2, 2, 9, 16), (2, 2, 11, 16), (2, 2, 11, 24)
    exact = [RNG.standard_normal(shape) * 2 for shape in shapes]
    allowed = RNG.uniform(size=(9, 11)) > 0.4
    allowed[3] = False  # which may look nowhere
    with emulated_device():
        q, k, v = (tc.tensor(x).to(dtype).requires_grad_() for x in exact)
        rounded = [x.detach().double().requires_grad_() for x in (q, k, v)]
        given = {k: v for k, v in options.items() if k != "mask"}
        masks = {"attn_mask": tc.tensor(allowed)} if mask else {}
        y = F.scaled_dot_product_attention(q, k, v, **masks, **given)
        expected = F.scaled_dot_product_attention(*rounded, **masks, **given)
        assert y.dtype is dtype
        weight = tc.tensor(RNG.standard_normal(y.shape)).to(dtype)
        y.backward(weight)
        expected.backward(weight.double())
    eps = {tc.bfloat16: 2.0**-8, tc.float16: 2.0**-11}[dtype]
    pairs = [(y, expected)]
    pairs += [(a.grad, b.grad) for a, b in zip((q, k, v), rounded, strict=True)]
    for pair in pairs:
        one, other = (t.detach().double().cpu().numpy() for t in pair)
        assert np.isfinite(one).all()
        assert np.abs(one - other).max() <= 4 * eps * max(np.abs(other).max(), 1)


@pytest.mark.skipif(COMPILER is None, reason="needs g++")
def test_on_a_gpu_products_are_of_half_precision(monkeypatch):
    seen = []
    with emulated_device() as name:
        backend = tc.device(name).backend
        for kernel in ("matmul", "wide_matmul"):
            run = getattr(backend, kernel)
            monkeypatch.setattr(
                backend, kernel,
                lambda a, b, *rest, run=run: seen.append(a.dtype.name) or run(a, b, *rest),
            )  # fmt: skip
        q = tc.randn(2, 5, 8, requires_grad=True)
        with tc.autocast("cpu", dtype=tc.bfloat16):
            y = F.scaled_dot_product_attention(q.bfloat16(), q.bfloat16(), q.bfloat16())
        y.float().sum().backward()
    assert seen == ["bfloat16"] * 6
