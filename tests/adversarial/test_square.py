"""The square attack: schedule, windows, bumps, and random numbers of each sample's own."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial.attacks.square import bump, window
from tinyconv.errors import ArgumentError, ShapeError


class Recorder(nn.Module):
    """Logits that never fall to the attack, and a list of the images that were looked at."""

    def __init__(self, rising):
        super().__init__()
        self.rising, self.seen = rising, []

    def forward(self, x):
        self.seen.append(x.numpy(force=True).copy())
        first = tc.full((len(x), 1), 1e6)
        # Rising: each new image looks better than the last one; else each looks worse.
        second = tc.full((len(x), 1), float(len(self.seen) if self.rising else -len(self.seen)))
        return tc.cat([first, second], 1)


def reference_side(p_init, it, n_queries, height):
    """The schedule as in the text of the reference implementation, for square images."""
    it, halvings = int(it / n_queries * 10000), 0
    for limit in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000):
        halvings += it > limit
    return max(round((p_init / 2**halvings * height**2) ** 0.5), 1)


@pytest.mark.parametrize("steps", [10_000, 5000, 300])
def test_the_side_of_the_square_follows_the_schedule(steps):
    for step in range(0, steps, 7):
        side = reference_side(0.8, step, steps, 28)
        assert window(0.8, step, steps, 28, 28) == (side, side)


def test_windows_that_do_not_fit_grow_in_the_other_direction():
    assert window(0.5, 0, 100, 1, 20) == (1, 10)
    assert window(0.5, 0, 100, 4, 50) == (4, 25)
    assert window(1.0, 0, 100, 3, 3) == (3, 3)
    assert window(0.01, 99, 100, 5, 5) == (1, 1)


def test_every_step_of_the_linf_attack_is_one_square_of_one_colour_a_channel():
    x = tc.full((1, 3, 10, 10), 0.5)
    model = Recorder(rising=False)
    adversarial.square(model, x, tc.zeros(1, dtype=tc.int64), eps=0.1, steps=40)
    start = model.seen[1]
    assert np.allclose(np.abs(start - 0.5), 0.1)
    assert (start == start[:, :, :1]).all()  # vertical stripes
    sides = set()
    for image in model.seen[2:-2]:
        changed = np.argwhere((image != start).any(1)[0])
        assert len(changed)
        (top, left), (bottom, right) = changed.min(0), changed.max(0)
        patch = image[0, :, top : bottom + 1, left : right + 1]
        sides.add(max(patch.shape[1:]))
        same = patch == patch[:, :1, :1]
        old = patch == start[0, :, top : bottom + 1, left : right + 1]
        assert (same | old).all()
    assert max(sides) <= 9
    assert min(sides) <= 2


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_defect_6_the_last_row_and_column_are_reached(norm):
    x = tc.full((1, 1, 8, 8), 0.5)
    model = Recorder(rising=False)
    adversarial.square(model, x, tc.zeros(1, dtype=tc.int64), eps=0.1, norm=norm, steps=1500)
    start, late = model.seen[1], np.concatenate(model.seen[300:-2])
    relative = (late - 0.5) / np.abs(late - 0.5).max((1, 2, 3), keepdims=True)
    relative -= (start - 0.5) / np.abs(start - 0.5).max()
    reached = (np.abs(relative) > 1e-3).any((0, 1))
    assert reached.all()


def test_defect_6_every_sample_has_a_window_and_signs_of_its_own():
    x = tc.full((6, 1, 8, 8), 0.5)
    model = Recorder(rising=False)
    adversarial.square(model, x, tc.zeros(6, dtype=tc.int64), eps=0.1, steps=60)
    for image in model.seen[2:12]:
        changed = image != model.seen[1]
        assert changed.any((1, 2, 3)).all()  # a proposal that would change nothing is turned over
        assert len({changed[i].tobytes() for i in range(6)}) > 3


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_batch_does_not_matter_over_many_steps(norm):
    net, x = small_net(), images(6, seed=3)
    y = predictions(net, x)
    arguments = {"eps": 0.02 if norm == "linf" else 0.05, "norm": norm, "steps": 150}
    whole = adversarial.square(net, x, y, **arguments)
    for i in range(6):
        alone = adversarial.square(net, x[i : i + 1], y[i : i + 1], index=[i], **arguments)
        assert np.array_equal(alone.x_adv[0].numpy(), whole.x_adv[i].numpy())
        assert alone.queries[0, 0] == whole.queries[i, 0]


def test_bumps_have_length_one_and_two_halves():
    for sides in ((3, 3), (5, 5), (9, 9), (1, 7), (7, 1), (1, 1), (2, 2)):
        pattern = bump(*sides)
        assert pattern.shape == sides
        assert np.linalg.norm(pattern) == pytest.approx(1)
    pattern = bump(5, 5)
    assert (pattern[:2] > 0).all()
    assert (pattern[2:] < 0).all()
    # By hand: 2 rows with the middle at (1, 2), rings of 1, 1/4 and 1/9.
    ring = np.array([[0.25, 0.25, 0.25], [0.25, 1.25, 0.25]])
    hill = np.pad(ring, ((0, 0), (1, 1))) + 1 / 9
    hill /= np.linalg.norm(hill)
    assert np.allclose(pattern[:2] / np.linalg.norm(pattern[:2]), hill)


def test_l2_images_lie_on_the_sphere_and_a_step_moves_two_windows_only():
    x = tc.full((2, 2, 12, 12), 0.5)
    model = Recorder(rising=False)
    adversarial.square(
        model, x, tc.zeros(2, dtype=tc.int64), eps=0.3, norm="l2", steps=50, p_init=0.1
    )
    start = model.seen[1]
    for image in model.seen[1:-2]:
        length = np.linalg.norm((image - 0.5).reshape(2, -1), axis=1)
        assert np.allclose(length, 0.3, atol=1e-5)
    for image in model.seen[20:-2]:
        # Elsewhere the perturbation is the old one, up to the common factor of the length.
        ratio = (image - 0.5) / (start - 0.5)
        values, counts = np.unique(ratio[0].round(3), return_counts=True)
        assert counts.max() >= 12 * 12 * 2 - 2 * 2 * 25
        assert len(values) > 1


def test_steps_are_queries_and_a_success_stops_a_sample():
    model = Recorder(rising=True)
    x = tc.full((1, 1, 4, 4), 0.5)
    result = adversarial.square(model, x, tc.zeros(1, dtype=tc.int64), eps=0.1, steps=30)
    assert result.queries[0].tolist() == [33, 0]  # and three to judge
    net, x = small_net(), images(5)
    result = adversarial.square(net, x, predictions(net, x), eps=1.0, steps=500)
    assert result.success.all()
    assert (result.queries[:, 0] < 100).all()


def test_the_linf_optimum_of_a_linear_classifier_is_found():
    net, weight, _ = linear_net()
    x = tc.full((3, 3, 2, 2), 0.5, dtype=tc.float64)
    y = predictions(net, x)
    result = adversarial.square(
        net, x, y, eps=1e-3, steps=400, loss=lambda z, y: adversarial.losses.margin(z, y)
    )
    rows = y.numpy()
    slope = weight[1 - rows] - weight[rows]
    best = 0.5 + 1e-3 * np.sign(slope).reshape(3, 3, 2, 2)
    assert np.allclose(result.x_adv.numpy(), best)


def test_a_radius_for_each_channel_and_a_mask():
    net, x = small_net(inputs=48), tc.full((3, 3, 4, 4), 0.5)
    eps = np.array([0.1, 0.0, 0.2]).reshape(3, 1, 1)
    result = adversarial.square(net, x, predictions(net, x), eps=eps, steps=10)
    change = (result.x_adv - x).abs().amax((0, 2, 3)).tolist()
    assert change == pytest.approx([0.1, 0, 0.2])
    mask = tc.zeros(4, 4, dtype=tc.bool)
    mask[1:3, 1:3] = True
    result = adversarial.square(Recorder(False), x, tc.zeros(3, dtype=tc.int64), eps=0.2,
                                norm="l2", steps=10, mask=mask)  # fmt: skip
    assert np.allclose(result.norm["l2"], 0.2)
    assert (result.norm["l0"] <= 12).all()


def test_bad_arguments():
    net, y = small_net(), tc.zeros(1, dtype=tc.int64)
    with pytest.raises(ArgumentError, match="square: argument 'p_init' must be above 0"):
        adversarial.square(net, images(1), y, eps=0.1, p_init=0.0)
    with pytest.raises(ArgumentError, match="square: argument 'steps' must be an int"):
        adversarial.square(net, images(1), y, eps=0.1, steps=0)
    with pytest.raises(ArgumentError, match="'norm' must be one of 'linf', 'l2', got 'l1'"):
        adversarial.square(net, images(1), y, eps=0.1, norm="l1")
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    x = images(1, shape=(1, 2, 2, 4))
    with pytest.raises(ShapeError, match="square: argument 'x' must be images"):
        adversarial.square(net, x, predictions(net, x), eps=0.1)
