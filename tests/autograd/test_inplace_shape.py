"""Another shape in place: the tensor's own metadata changes, its views and gradients stay right."""

import gc
import weakref

import numpy as np
import programs
import pytest
import test_inplace
from autograd_helpers import host, leaf

import tinyconv as tc
from tinyconv.autograd import inference_mode, no_grad
from tinyconv.errors import GradientError, InPlaceError, ShapeError

METHODS = {
    "t_": ((), (3, 2)),
    "transpose_": ((0, -1), (3, 2)),
    "swapaxes_": ((1, 0), (3, 2)),
    "swapdims_": ((1, 0), (3, 2)),
    "unsqueeze_": ((1,), (2, 1, 3)),
    "squeeze_": ((), (2, 3)),
}


@pytest.mark.parametrize("name", METHODS)
def test_shape_memory_and_gradient(name, backend):
    args, shape = METHODS[name]
    a = leaf(np.arange(6.0).reshape(2, 3))
    y = a * 2
    other = y.detach()
    assert getattr(y, name)(*args) is y
    assert y.shape == shape
    assert other.shape == (2, 3)
    expected = np.arange(6.0).reshape(2, 3) * 2
    expected = expected.T if "a" in name or name == "t_" else expected
    if shape == (3, 2):
        expected = host(a).T * 2
    np.testing.assert_array_equal(host(y).squeeze(), expected)
    weight = tc.arange(6.0).reshape(shape).to(a.dtype)
    (y * y * weight).sum().backward()
    turned = host(weight).T if shape == (3, 2) else host(weight).reshape(2, 3)
    np.testing.assert_allclose(host(a.grad), 8 * host(a) * turned)


def test_squeeze_names_dimensions():
    x = tc.zeros(1, 2, 1, 3)
    assert x.squeeze_(0).shape == (2, 1, 3)
    assert x.squeeze_((0, 1)).shape == (2, 3)
    with pytest.raises(ShapeError, match="at most 2 dimensions"):
        x.unsqueeze_(0).t_()


def test_views_made_before_and_after_follow_each_other():
    a = leaf(np.ones((2, 3)))
    y = a * 1
    before = y[0]
    y.t_()
    after = y[1]
    before.mul_(2.0)  # the first column of what is now (3, 2)
    after.mul_(5.0)
    y.mul_(3.0)
    assert y.tolist() == [[6.0, 3.0], [30.0, 15.0], [6.0, 3.0]]
    assert before.tolist() == [6.0, 30.0, 6.0]
    assert after.tolist() == [30.0, 15.0]
    (before.sum() + 10 * after.sum() + 100 * y.sum()).backward()
    np.testing.assert_allclose(
        host(a.grad), [[6 + 600, 30 + 300 + 3000, 606], [300, 150 + 1500, 300]]
    )


def test_a_view_itself_may_change():
    a = leaf(np.ones((2, 3)))
    y = a * 1
    row = y[1].unsqueeze_(0)
    row.mul_(tc.tensor([[1.0, 2.0, 3.0]], dtype=row.dtype))
    assert y.tolist() == [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]]
    (y * y).sum().backward()
    assert a.grad.tolist() == [[2.0, 2.0, 2.0], [2.0, 8.0, 18.0]]


def test_data_get_a_history_through_an_old_view():
    x = tc.zeros(2, 3)
    column = x[:, 0]
    with no_grad():
        x.t_()
    w = tc.ones(2, requires_grad=True)
    column.copy_(w * 3)
    x.sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]


def test_leaves():
    w = tc.ones(2, 3, requires_grad=True)
    with pytest.raises(GradientError, match="t_: a leaf that requires gradients"):
        w.t_()
    with pytest.raises(GradientError, match="unsqueeze_: a view of a leaf"):
        w[0].unsqueeze_(0)
    with no_grad():
        w.t_()
    assert (tuple(w.shape), w.is_leaf) == ((3, 2), True)
    (w * w).sum().backward()
    assert w.grad.shape == (3, 2)
    with inference_mode():
        x = tc.ones(2, 3)
        x.t_()
    with pytest.raises(GradientError, match="inference mode"):
        x.t_()


def test_it_counts_as_a_modification():
    a = leaf(np.ones((2, 2)))
    y = a * 1
    z = y * y
    y.t_()
    with pytest.raises(InPlaceError):
        z.sum().backward()


def test_expanded_memory_may_be_turned():
    x = tc.ones(3).expand(2, 3)
    assert x.t_().shape == (3, 2)


def test_retained_gradient_has_the_new_shape():
    y = leaf(np.ones((2, 3))) * 1
    y.retain_grad()
    y.t_()
    y.sum().backward()
    assert y.grad.shape == (3, 2)


def test_the_graph_dies_without_the_collector():
    gc.disable()
    try:
        y = leaf(np.ones((2, 3))) * 1
        view = y[0]
        y.t_()
        view.mul_(2.0)
        node = weakref.ref(y.grad_fn)
        del y, view
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("block", range(4))
def test_random_programs_agree_with_torch(block):
    pytest.importorskip("torch")
    outcomes = [
        test_inplace.compare(programs.make(seed, reshaping=True))
        for seed in range(block * 250, block * 250 + 250)
    ]
    assert outcomes.count("ok") > 80
    assert outcomes.count("raised") > 20
