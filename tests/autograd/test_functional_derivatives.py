"""Jacobians, Hessians and products with them: closed forms, PyTorch, strict mode, graphs."""

import inspect

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.autograd import functional, grad, gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, GradientError, ShapeError

RNG = np.random.default_rng(11)
M, S = RNG.uniform(-1, 1, (3, 4)), RNG.uniform(-1, 1, (4, 4))
X, V, W = RNG.uniform(0.5, 1, 4), RNG.uniform(-1, 1, 4), RNG.uniform(-1, 1, 3)
NAMES = ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp")


def tensor(array, requires_grad=False):
    return tc.tensor(array, dtype=tc.float64, requires_grad=requires_grad)


def host(result):
    if isinstance(result, tuple):
        return tuple(host(r) for r in result)
    return result.device.backend.to_host(result.array)


def linear(x):
    return tensor(M) @ x


def quadratic(x):
    return x @ tensor(S) @ x


# -- closed forms ---------------------------------------------------------------------------------


def test_of_a_linear_function(backend):
    x = tensor(X)
    np.testing.assert_array_equal(host(functional.jacobian(linear, x)), M)
    y, g = functional.vjp(linear, x, tensor(W))
    np.testing.assert_allclose(host(y), M @ X)
    np.testing.assert_allclose(host(g), M.T @ W)
    y, d = functional.jvp(linear, x, tensor(V))
    np.testing.assert_allclose(host(y), M @ X)
    np.testing.assert_allclose(host(d), M @ V)


def test_of_a_quadratic_form(backend):
    x = tensor(X)
    np.testing.assert_allclose(host(functional.hessian(quadratic, x)), S + S.T)
    for product in (functional.vhp, functional.hvp):
        y, p = product(quadratic, x, tensor(V))
        np.testing.assert_allclose(host(y), X @ S @ X)
        np.testing.assert_allclose(host(p), (S + S.T) @ V)


def test_of_matrices(backend):
    x = tensor(M)
    jacobian = host(functional.jacobian(lambda x: x.T @ x, x))
    unit = np.eye(4)
    expected = np.einsum("ja,ib->abij", unit, M) + np.einsum("jb,ia->abij", unit, M)
    np.testing.assert_allclose(jacobian, expected, atol=1e-15)
    hessian = host(functional.hessian(lambda x: (x**3).sum(), x))
    np.testing.assert_allclose(hessian.reshape(12, 12), np.diag(6 * M.reshape(-1)))


def test_tuples(backend):
    def function(x, y):
        return x * y, x.sum()

    x, y = tensor(X), tensor(V)
    jacobian = host(functional.jacobian(function, (x, y)))
    expected = ((np.diag(V), np.diag(X)), (np.ones(4), np.zeros(4)))
    for row, wanted in zip(jacobian, expected, strict=True):
        for found, value in zip(row, wanted, strict=True):
            np.testing.assert_array_equal(found, value)
    outputs, products = functional.jvp(function, (x, y), (tensor(V), tensor(X)))
    np.testing.assert_allclose(host(products[0]), V * V + X * X)
    np.testing.assert_allclose(host(products[1]), V.sum())
    assert len(outputs) == 2
    _, products = functional.vjp(function, (x, y), (tensor(np.ones(4)), tensor(2.0)))
    np.testing.assert_allclose(host(products[0]), V + 2)
    np.testing.assert_allclose(host(products[1]), X)
    hessian = host(functional.hessian(lambda x, y: (x * x * y).sum(), (x, y)))
    np.testing.assert_allclose(hessian[0][0], np.diag(2 * V))
    np.testing.assert_allclose(hessian[0][1], np.diag(2 * X))
    np.testing.assert_allclose(hessian[1][0], np.diag(2 * X))
    np.testing.assert_array_equal(hessian[1][1], np.zeros((4, 4)))
    single = functional.jacobian(lambda x: (x,), x)
    assert isinstance(single, tuple)
    assert isinstance(functional.jacobian(lambda x: x, (x,)), tuple)


def test_v_of_one_element_may_be_left_out():
    x = tensor(2.0)
    for name, expected in [("vjp", 12), ("jvp", 12), ("vhp", 12), ("hvp", 12)]:
        y, p = getattr(functional, name)(lambda x: x**3, x)
        assert (y.item(), p.item()) == (8, expected)


def test_empty_tensors():
    x = tensor(np.ones((0, 2)))
    assert functional.jacobian(lambda x: x * 2, x).shape == (0, 2, 0, 2)
    assert functional.jacobian(lambda x: x.sum(), x).shape == (0, 2)


# -- graphs ---------------------------------------------------------------------------------------


def test_results_have_a_graph_only_where_asked():
    x = tensor(X, True)
    for create in (False, True):
        kwargs = {"create_graph": create}
        assert functional.jacobian(lambda x: x.exp(), x, **kwargs).requires_grad is create
        assert functional.hessian(lambda x: x.exp().sum(), x, **kwargs).requires_grad is create
        for name in NAMES[2:]:
            function = (lambda x: x.exp()) if "j" in name else (lambda x: x.exp().sum())
            results = getattr(functional, name)(function, x, tensor(V), **kwargs)
            assert [r.requires_grad for r in results] == [create, create]
    assert x.grad is None
    assert x.requires_grad


def test_results_can_be_differentiated():
    x, v = tensor(X, True), tensor(V, True)
    calls = [
        lambda x, v: functional.jacobian(lambda x: x.exp() * x.sum(), x, create_graph=True),
        lambda x, v: functional.hessian(lambda x: (x**3).sum() * x[0], x, create_graph=True),
        lambda x, v: functional.vjp(lambda x: x.exp(), x, v, create_graph=True),
        lambda x, v: functional.jvp(lambda x: x.exp() * x[0], x, v, create_graph=True),
        lambda x, v: functional.vhp(lambda x: (x**3).prod(), x, v, create_graph=True),
        lambda x, v: functional.hvp(lambda x: (x**3).prod(), x, v, create_graph=True),
    ]
    for call in calls:
        assert gradcheck(call, (x, v))
    for call in calls[:4]:
        assert gradgradcheck(call, (x, v))


def test_inputs_closed_over_are_constants():
    x = tensor(X, True)
    jacobian = functional.jacobian(lambda inner: inner * x, x)
    np.testing.assert_array_equal(host(jacobian), np.diag(X))


def test_works_without_gradient_mode():
    x = tensor(X)
    with tc.no_grad():
        np.testing.assert_array_equal(host(functional.jacobian(linear, x)), M)
        np.testing.assert_allclose(host(functional.hessian(quadratic, x)), S + S.T)
        for name in NAMES[2:]:
            function, v = (linear, W if name == "vjp" else V) if "j" in name else (quadratic, V)
            getattr(functional, name)(function, x, tensor(v))


def test_gradient_through_a_jacobian_of_a_layer():
    layer = tc.nn.Linear(3, 2)
    x = tc.ones(3)
    jacobian = functional.jacobian(layer, x, create_graph=True)
    (g,) = grad((jacobian**2).sum(), layer.weight)
    assert tc.allclose(g, 2 * layer.weight)


# -- strict mode ----------------------------------------------------------------------------------


ONE = np.ones(2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda x: functional.jacobian(lambda x: tensor(ONE), x, strict=True), "output 0 of func"),
        (lambda x: functional.jacobian(lambda x, y: x, (x, x), strict=True), "depend on input 1"),
        (lambda x: functional.jacobian(lambda x: x * 2, x, True, True), "does not depend on inp"),
        (lambda x: functional.hessian(lambda x: x.sum(), x, strict=True), "Jacobian of func by"),
        (lambda x: functional.hessian(lambda x: tensor(1.0), x, strict=True), "output 0 of func"),
        (lambda x: functional.vjp(lambda x, y: x, (x, x), x, strict=True), "depend on input 1"),
        (lambda x: functional.vjp(lambda x: tensor(ONE), x, x, strict=True), "output 0 of func"),
        (lambda x: functional.jvp(lambda x, y: x, (x, x), (x, x), strict=True), "on input 1"),
        (lambda x: functional.jvp(lambda x: tensor(ONE), x, x, strict=True), "output 0 of func"),
        (lambda x: functional.vhp(lambda x: x.sum(), x, x, strict=True), "Jacobian of func by inp"),
        (lambda x: functional.vhp(lambda x, y: (x * x).sum(), (x, x), (x, x), strict=True),
         "depend on input 1"),
        (lambda x: functional.hvp(lambda x: x.sum(), x, x, strict=True), "Jacobian of func by inp"),
    ],
)  # fmt: skip
def test_strict_mode(call, match):
    with pytest.raises(GradientError, match=match):
        call(tensor(ONE))


def test_without_strict_mode_there_are_zeros():
    x = tensor(ONE)
    assert functional.jacobian(lambda x: tensor([1.0] * 3), x).tolist() == [[0, 0]] * 3
    assert functional.hessian(lambda x: x.sum(), x).tolist() == [[0, 0], [0, 0]]
    for name in NAMES[2:]:
        function = (lambda x: tensor(ONE)) if "j" in name else (lambda x: tensor(1.0))
        assert getattr(functional, name)(function, x, x)[1].tolist() == [0, 0]


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: functional.jacobian(lambda x: x, 1.0), DTypeError, "jacobian: inputs must be"),
        (lambda x: functional.jacobian(lambda x: x, (x, 1)), DTypeError, r"inputs\[1\] is int"),
        (lambda x: functional.jacobian(lambda x: 1.0, x), DTypeError, "output of func .* is float"),
        (lambda x: functional.hessian(lambda x: x, x), ShapeError, "hessian: func must return one"),
        (lambda x: functional.hessian(lambda x: (x.sum(),), x), ShapeError, "a tuple of"),
        (lambda x: functional.vhp(lambda x: x, x, x), ShapeError, r"vhp: .* shape \(2,\)"),
        (lambda x: functional.vjp(lambda x: x, x), ArgumentError, "one output of func of one"),
        (lambda x: functional.jvp(lambda x: x, x), ArgumentError, "one input of one element"),
        (lambda x: functional.jvp(lambda x: x, x, x[:1]), ShapeError, r"v has shape \(1,\)"),
        (lambda x: functional.jvp(lambda x: x, x, (x, x)), ShapeError, "v has 2 tensors for 1"),
        (lambda x: functional.jvp(lambda x, y: x, (x, x), (x, x[:1])), ShapeError, r"v\[1\]"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(tensor(ONE))


# -- PyTorch --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_pytorchs(name, torch):
    theirs = inspect.signature(getattr(torch.autograd.functional, name)).parameters
    ours = inspect.signature(getattr(functional, name)).parameters
    speed = {"vectorize", "strategy", "outer_jacobian_strategy"}
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values() if p.name not in speed
    ]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_pytorchs(name, torch):
    def function(x, y):
        z = (x.reshape(2, 2) @ y).tanh() * x[0]
        return (z, z.sum(0)) if "j" in name else (z * z).sum() * y.exp().sum()

    y = RNG.uniform(-1, 1, (2, 3))
    sizes = [(2, 3), (3,)] if name == "vjp" else [(4,), (2, 3)]
    vectors = [RNG.uniform(-1, 1, size) for size in sizes]
    arguments = [(X, y)] if name in ("jacobian", "hessian") else [(X, y), vectors]
    results = []
    for library, make in ((tc, tensor), (torch, torch.tensor)):
        tensors = [tuple(make(array) for array in group) for group in arguments]
        results.append(getattr(library.autograd.functional, name)(function, *tensors))

    def compare(a, b):
        if isinstance(b, tuple):
            assert isinstance(a, tuple)
            for x, y in zip(a, b, strict=True):
                compare(x, y)
        else:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)

    compare(*results)
