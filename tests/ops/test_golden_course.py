"""Worked examples of the course, by hand on paper, computed by the library."""

import numpy as np
import pytest

from tinyconv import ops as F
from tinyconv.autograd import grad
from tinyconv.ops import tensor


def plane(rows):
    return tensor(rows).reshape(1, 1, len(rows), len(rows[0]))


X = [[2.0, 1, 2], [5, 0, 1], [1, 7, 3]]
W = [[0.5, 0.7, 0.4], [0.3, 0.4, 0.1], [0.5, 1, 0.5]]


@pytest.mark.parametrize(
    ("image", "kernel", "expected"),
    [
        (
            [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]],
            [[0, 1, 2], [2, 2, 0], [0, 1, 2]],
            [[12, 12, 17], [10, 17, 19], [9, 6, 14]],
        ),
        (
            [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]],
            [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
            [[4, 3, 4], [2, 4, 3], [2, 3, 4]],
        ),
        ([[0, 0, 0], [0, 0, 2], [0, 1, 2]], [[1, -1, 0], [1, 1, 0], [0, 1, -1]], [[-1]]),
    ],
)
def test_cross_correlation(image, kernel, expected, backend):
    assert F.conv2d(plane(image), plane(kernel))[0, 0].tolist() == expected
    y = F.conv2d(plane(image).float(), plane(kernel).float())
    assert y[0, 0].tolist() == expected


def test_true_convolution_rotates_the_kernel(backend):
    y = F.conv2d(plane(X), plane(W).flip((2, 3)), stride=2, padding=1)
    np.testing.assert_allclose(y[0, 0].tolist(), [[4.6, 1.6], [7.5, 2.9]], rtol=1e-6)


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_full_same_and_valid_in_one_and_two_dimensions(n, m):
    signal = np.arange(1.0, n + 1)
    kernel = np.arange(1.0, m + 1)
    x, w = tensor(signal).reshape(1, 1, n), tensor(kernel[::-1].copy()).reshape(1, 1, m)
    full = F.conv1d(x, w, padding=m - 1)
    np.testing.assert_allclose(full[0, 0].tolist(), np.convolve(signal, kernel, "full"))
    valid = F.conv1d(x, w, padding="valid")
    np.testing.assert_allclose(valid[0, 0].tolist(), np.convolve(signal, kernel, "valid"))
    assert F.conv1d(x, w, padding="same").shape == (1, 1, n)
    image, square = F.ones(1, 1, n, n), F.ones(1, 1, m, m)
    for padding in range(4):
        for stride in (1, 2, 3):
            size = (n + 2 * padding - m) // stride + 1
            assert F.conv2d(image, square, None, stride, padding).shape == (1, 1, size, size)


def test_sizes():
    assert F.conv2d(F.zeros(1, 1, 28, 28), F.zeros(1, 1, 5, 5)).shape == (1, 1, 24, 24)
    y = F.conv2d(F.zeros(1, 16, 63, 63), F.zeros(32, 16, 7, 7), stride=2)
    assert y.shape == (1, 32, 29, 29)
    assert y.numel() == 26_912
    assert F.max_pool2d(F.zeros(1, 16, 32, 32), 2, 2).shape == (1, 16, 16, 16)


def test_same_with_a_2x2_kernel_pads_at_the_end_only():
    y = F.conv2d(plane(X), F.ones(1, 1, 2, 2), padding="same")
    assert y[0, 0].tolist() == [[8, 4, 3], [13, 11, 4], [8, 10, 3]]


def test_two_3x3_kernels_cover_what_one_5x5_does():
    x = F.zeros(1, 1, 9, 9).requires_grad_()
    ones = F.ones(1, 1, 3, 3)
    stacked = F.conv2d(F.conv2d(x, ones), ones)
    (seen,) = grad(stacked[0, 0, 2, 2], x)
    assert int((seen != 0).sum()) == 25
    dilated = F.conv2d(x, ones, dilation=2)
    (seen,) = grad(dilated[0, 0, 2, 2], x)
    rows = [i for i, row in enumerate(seen[0, 0].tolist()) if any(row)]
    assert (rows, int((seen != 0).sum())) == ([2, 4, 6], 9)


def test_softmax():
    np.testing.assert_allclose(
        F.softmax(tensor([2.0, 5.0]), 0).tolist(), [0.0474, 0.9526], atol=5e-5
    )


def test_a_confident_mistake_costs_more_in_cross_entropy_than_in_squared_error():
    p, y = tensor([0.9], requires_grad=True), tensor([0.0])
    loss = F.binary_cross_entropy(p, y)
    assert loss.item() == pytest.approx(2.30, abs=5e-3)
    assert grad(loss, p)[0].item() == pytest.approx(10, rel=1e-5)
    squared = F.mse_loss(p, y)
    assert grad(squared, p)[0].item() == pytest.approx(1.8, rel=1e-5)


def test_loss_table_from_probabilities_and_from_logits(backend):
    """y = 1 with p = .69 is logit .8; (0, 0, 1) with (.30, .15, .55) is logits (1.5, .8, 2.1)."""
    binary = F.binary_cross_entropy(tensor([0.69]), tensor([1.0])).item()
    from_logit = F.binary_cross_entropy_with_logits(tensor([0.8]), tensor([1.0])).item()
    assert binary == pytest.approx(-np.log(0.69), rel=1e-5)
    assert from_logit == pytest.approx(binary, abs=5e-3)

    p, logits = tensor([[0.30, 0.15, 0.55]]), tensor([[1.5, 0.8, 2.1]])
    np.testing.assert_allclose(F.softmax(logits, 1).tolist(), p.tolist(), atol=5e-3)
    expected = -np.log(0.55)
    label, one_hot = tensor([2]), F.one_hot(tensor([2]), 3).float()
    assert F.nll_loss(p.log(), label).item() == pytest.approx(expected, rel=1e-5)
    assert F.cross_entropy(logits, label).item() == pytest.approx(expected, abs=5e-3)
    categorical, sparse = F.categorical_cross_entropy, F.sparse_categorical_cross_entropy
    assert categorical(p, one_hot).item() == pytest.approx(expected, rel=1e-5)
    assert sparse(p, label).item() == pytest.approx(expected, rel=1e-5)
    assert categorical(logits, one_hot, from_logits=True).item() == pytest.approx(
        expected, abs=5e-3
    )
    assert sparse(logits, label, from_logits=True).item() == pytest.approx(expected, abs=5e-3)
    assert F.cross_entropy(logits, one_hot).item() == pytest.approx(
        F.cross_entropy(logits, label).item(), rel=1e-6
    )


def test_batch_normalisation_by_hand():
    x = tensor([[1.0], [3.0], [5.0]])
    gamma, beta = tensor([2.0]), tensor([10.0])
    mean, var = F.zeros(1), F.ones(1)
    y = F.batch_norm(x, mean, var, gamma, beta, training=True)
    step = 2 * 2 / np.sqrt(8 / 3 + 1e-5)
    np.testing.assert_allclose(y[:, 0].tolist(), [10 - step, 10, 10 + step], rtol=1e-6)
    assert mean.item() == pytest.approx(0.3)
    assert var.item() == pytest.approx(0.9 + 0.1 * 4)
    inference = F.batch_norm(x, mean, var, gamma, beta)
    expected = 2 * (1 - 0.3) / np.sqrt(1.3 + 1e-5) + 10
    assert inference[0, 0].item() == pytest.approx(expected, rel=1e-6)
