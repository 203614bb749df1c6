"""Random noise: the distribution of its points, and what it finds."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net
from scipy import stats

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.errors import ArgumentError

ORDER = {"linf": np.inf, "l2": 2, "l1": 1}


class Listener(nn.Module):
    """Logits that no noise changes, and a list of the images that were looked at."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.numpy(force=True).reshape(len(x), -1))
        return tc.tensor([[1.0, 0.0]]).expand(len(x), 2)


def points(norm, surface, dims=3):
    x = tc.full((2000, dims), 0.5, dtype=tc.float64)
    model = Listener()
    adversarial.noise(
        model, x, tc.zeros(2000, dtype=tc.int64), eps=0.2, norm=norm, draws=2, surface=surface
    )
    return (model.seen[1] - 0.5) / 0.2, (model.seen[2] - 0.5) / 0.2


@pytest.mark.parametrize("norm", sorted(ORDER))
def test_defect_5_points_are_uniform_in_the_ball(norm):
    first, second = points(norm, surface=False)
    for sample in (first, second):
        radius = np.linalg.norm(sample, ORDER[norm], axis=1)
        assert stats.kstest(radius**3, "uniform").pvalue > 1e-3
        assert stats.kstest(sample[:, 0], -sample[:, 1]).pvalue > 1e-3
    assert not np.allclose(first, second)


@pytest.mark.parametrize("norm", sorted(ORDER))
def test_points_on_the_surface(norm):
    first, _ = points(norm, surface=True)
    assert np.allclose(np.linalg.norm(first, ORDER[norm], axis=1), 1)
    assert np.abs(first.mean(0)).max() < 0.08
    if norm == "linf":
        assert np.allclose(np.abs(first), 1)
        corners, counts = np.unique(first > 0, axis=0, return_counts=True)
        assert len(corners) == 8
        assert stats.chisquare(counts).pvalue > 1e-3
    if norm == "l2":  # Archimedes: every coordinate of a point on the sphere is uniform
        assert stats.kstest(first[:, 2], "uniform", args=(-1, 2)).pvalue > 1e-3
    if norm == "l1":  # the sizes of the coordinates: uniform on the simplex
        assert stats.kstest((1 - np.abs(first[:, 0])) ** 2, "uniform").pvalue > 1e-3


def test_samples_that_are_done_take_no_more_draws():
    net, x = small_net(), images(12)
    result = adversarial.noise(net, x, predictions(net, x), eps=0.3, draws=50)
    assert result.success.any()
    assert not result.success.all()
    assert np.array_equal(result.queries[result.success, 0] - 4, result.restart[result.success])
    assert (result.queries[~result.success, 0] == 53).all()


def test_the_best_failure_is_returned():
    net, x = small_net(), images(4)
    y = predictions(net, x)
    few, many = (adversarial.noise(net, x, y, eps=0.01, draws=n) for n in (1, 50))
    assert not many.success.any()
    assert (many.loss >= few.loss).all()
    assert (many.loss > few.loss).any()


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="noise: argument 'draws' must be an int"):
        adversarial.noise(
            small_net(), images(1), tc.zeros(1, dtype=tc.int64), eps=0.1, draws=0
        )  # fmt: skip
