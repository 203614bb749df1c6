"""The universal perturbation and the patch: one thing for all samples."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial.attacks.patch import _places, stick
from tinyconv.errors import ArgumentError


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_all_images_get_the_same_perturbation(norm):
    net, x = small_net(), images(20)
    y = predictions(net, x)
    y[3] = (y[3] + 1) % 5
    eps = {"linf": 0.2, "l2": 0.8}[norm]
    result = adversarial.universal(net, x, y, eps=eps, norm=norm, batch_size=8)
    v = result.perturbation
    assert v.shape == x.shape[1:]
    assert adversarial.geometry.norms(v[None], norm).item() <= eps + 1e-6
    expected = (x + v).clamp(0, 1).numpy()
    right = np.arange(20) != 3
    assert np.allclose(result.x_adv.numpy()[right], expected[right], atol=1e-6)
    assert np.array_equal(result.x_adv[3].numpy(), x[3].numpy())


def test_a_linear_model_of_two_classes_has_a_known_best_perturbation():
    net, weight, _ = linear_net()
    x = tc.full((10, 3, 2, 2), 0.5, dtype=tc.float64)
    y = predictions(net, x)
    slope = (weight[1 - y[0].item()] - weight[y[0].item()]).reshape(3, 2, 2)
    result = adversarial.universal(net, x, y, eps=1e-3, epochs=12)
    assert np.allclose(result.perturbation.numpy(), 1e-3 * np.sign(slope))
    result = adversarial.universal(net, x, y, eps=1e-3, epochs=12, norm="l2")
    assert np.allclose(result.perturbation.numpy(), 1e-3 * slope / np.linalg.norm(slope))


def test_no_universal_perturbation_beats_each_images_own_but_it_beats_noise():
    net, x = small_net(), images(60)
    y = predictions(net, x)
    own = adversarial.pgd(net, x, y, eps=0.2, steps=20)
    universal = adversarial.universal(net, x, y, eps=0.2, epochs=20, batch_size=20)
    noise = adversarial.noise(net, x, y, eps=0.2, draws=1, surface=True)
    assert noise.success.sum() < universal.success.sum() <= own.success.sum()


def test_images_beyond_the_clipped_loss_give_no_gradient():
    net, x = small_net(), images(10)
    y = predictions(net, x)
    result = adversarial.universal(net, x, y, eps=0.2, clip_loss=-1.0)
    assert np.allclose(result.perturbation.numpy(), 0)


def test_a_target_for_all():
    net, x = small_net(), images(30)
    target = tc.full((30,), int(predictions(net, x)[0].item()), dtype=tc.int64)
    result = adversarial.universal(net, x, target, eps=0.4, targeted=True, epochs=20)
    assert result.success.sum() > result.clean_wrong.sum() + 3


def test_the_passes_of_a_minibatch_are_counted_and_memory_is_bounded():
    sizes = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = small_net()

        def forward(self, x):
            sizes.append(len(x))
            return self.net(x)

    net, x = Watch(), images(10)
    y = predictions(net, x)
    sizes.clear()
    result = adversarial.universal(net, x, y, eps=0.1, epochs=2, batch_size=4)
    assert result.queries.tolist() == [[1 + 4 + 2, 2]] * 10
    assert max(sizes) == 4


def test_a_patch_lies_where_it_is_put():
    picture = tc.tensor(np.arange(1.0, 5.0).reshape(1, 2, 2) / 10)
    x = tc.full((3, 1, 6, 6), 0.9, dtype=tc.float64)
    places = np.array([[0, 0, 0, 2], [-2, 1, 0, 2], [0, 0, 90, 2]], float)
    stuck = stick(picture, x, places).numpy()
    expected = np.full((3, 6, 6), 0.9)
    expected[0, 2:4, 2:4] = [[0.1, 0.2], [0.3, 0.4]]
    expected[1, 0:2, 3:5] = [[0.1, 0.2], [0.3, 0.4]]
    expected[2, 2:4, 2:4] = np.rot90([[0.1, 0.2], [0.3, 0.4]])
    assert np.allclose(stuck[:, 0], expected)
    large = stick(tc.full((1, 2, 2), 0.2, dtype=tc.float64), x, np.array([[0, 0, 0, 4]] * 3))
    expected = np.full((6, 6), 0.9)
    expected[1:5, 1:5] = 0.2
    assert np.allclose(large[0, 0].numpy(), expected)


class Greenest(nn.Module):
    """Class 1 where there is a bright green place on a dark image."""

    def forward(self, x):
        green = (x[:, 1] - x[:, 0]).reshape(len(x), -1).sum(1, keepdim=True)
        return tc.cat([green * 0 + 3.0, green], 1)


def test_a_patch_learns_the_colour_that_fools_the_model_anywhere():
    x = tc.full((12, 3, 12, 12), 0.5)
    y = tc.zeros(12, dtype=tc.int64)
    result = adversarial.patch(Greenest(), x, y, size=4, epochs=25, batch_size=6)
    assert result.success.all()
    assert result.patch.shape == (3, 4, 4)
    assert result.patch[1].mean().item() > 0.9
    assert result.patch[0].mean().item() < 0.1
    changed = (result.x_adv != x).any(1).numpy()
    places = {tuple(np.argwhere(c).mean(0).round(1)) for c in changed}
    assert len(places) > 8
    assert (changed.reshape(12, -1).sum(1) <= 49).all()


def test_patches_stay_within_the_image_when_turned_and_scaled():
    x = tc.zeros(2000, 3, 9, 14)
    problem = adversarial.Problem(None, x, None, attack="a")
    places = _places(problem, {"rotation": 180.0, "scale": (0.5, 1.5), "size": 4}, 1)
    down, right, degrees, side = places.T
    angle = np.radians(degrees)
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) / 2
    for i, j in corners:
        row = 4.5 + down + side * (i * np.cos(angle) - j * np.sin(angle))
        column = 7 + right + side * (i * np.sin(angle) + j * np.cos(angle))
        assert row.min() >= -1e-9
        assert row.max() <= 9 + 1e-9
        assert column.min() >= -1e-9
        assert column.max() <= 14 + 1e-9
    assert (side.min() < 2.1) & (side.max() > 5.9)
    assert (down.max() > 2.5) & (right.max() > 5) & (degrees.min() < -170)


def test_patches_stay_within_their_masks_and_reach_all_of_them():
    n, x = 3000, tc.zeros(3000, 3, 9, 14)
    mask = np.zeros((n, 1, 9, 14), bool)
    mask[:, :, 1:8, 2:9] = True
    mask[n // 2 :] = False
    mask[n // 2 :, :, 2:, 4:12] = True
    mask[:, :, 6, 4] = False  # a hole: what is left of the first mask is an L
    problem = adversarial.Problem(
        None, x, None, attack="a", norm="linf", eps=None, bounds=(0, 1), targeted=False,
        mask=tc.tensor(np.broadcast_to(mask, x.shape)), eot=1, seed=0, index=np.arange(n),
    )  # fmt: skip
    places = _places(problem, {"rotation": 180.0, "scale": (0.5, 1.0), "size": 2.5}, 1)
    seen = np.zeros((2, 9, 14), bool)
    covered = (stick(tc.ones(3, 2, 2), x, places) > 0).any(1).numpy()
    assert (covered <= mask[:, 0]).all()
    for half, part in ((0, covered[: n // 2]), (1, covered[n // 2 :])):
        seen[half] = part.any(0)
    reachable = np.stack([mask[0, 0], mask[-1, 0]])
    reachable[1, 6, 4:5] = False
    assert (seen == reachable).mean() > 0.95
    # The corners of the square itself, between pixels.
    down, right, degrees, side = places.T
    angle = np.radians(degrees)
    for i, j in np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) / 2:
        row = 4.5 + down + side * (i * np.cos(angle) - j * np.sin(angle))
        column = 7 + right + side * (i * np.sin(angle) + j * np.cos(angle))
        top = np.clip(np.floor(row - 1e-9 * np.sign(i)), 0, 8).astype(int)
        left = np.clip(np.floor(column - 1e-9 * np.sign(j)), 0, 13).astype(int)
        assert (row > 1 - 1e-9).all()
        assert (column < 12 + 1e-9).all()
        assert mask[np.arange(n), 0, top, left].mean() > 0.999


def test_a_patch_is_learned_where_the_mask_allows_it():
    x = tc.full((12, 3, 12, 12), 0.5)
    mask = tc.zeros(12, 1, 12, 12, dtype=tc.bool)
    mask[:6, :, :, 6:] = True
    mask[6:, :, 5:] = True
    y = tc.zeros(12, dtype=tc.int64)
    result = adversarial.patch(
        Greenest(), x, y, size=4, epochs=25, batch_size=6, rotation=10, mask=mask
    )
    assert result.success.all()
    changed = (result.x_adv != x).any(1).numpy()
    assert (changed <= mask.numpy()[:, 0]).all()
    assert (changed.reshape(12, -1).sum(1) >= 7).all()


def test_a_mask_without_room_is_named():
    net, x, y = small_net(), images(3), tc.tensor([0, 0, 0])
    mask = tc.ones(3, 1, 4, 4, dtype=tc.bool)
    mask[1, 0, 1, 1] = False
    mask[1, 0, 1, 2] = False
    arguments = {"size": 2, "rotation": 0, "scale": (1, 1)}
    mask[1, 0, 3] = False
    with pytest.raises(ArgumentError, match="patch: argument 'mask' has no room in sample 1"):
        adversarial.patch(net, x, y, mask=mask, **arguments)


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.tensor([0, 0])
    y = predictions(net, x)
    with pytest.raises(ArgumentError, match="universal: argument 'eps' must be the same for all"):
        adversarial.universal(net, x, y, eps=[0.1, 0.2])
    with pytest.raises(ArgumentError, match="universal: argument 'clip_loss' must be finite"):
        adversarial.universal(net, x, y, eps=0.1, clip_loss=float("nan"))
    with pytest.raises(ArgumentError, match="patch: argument 'size' of 4 is too large"):
        adversarial.patch(net, x, y, size=4)
    with pytest.raises(ArgumentError, match="patch: argument 'scale' must be two positive"):
        adversarial.patch(net, x, y, size=2, scale=(1.0, 0.5))
    with pytest.raises(ArgumentError, match="patch: argument 'rotation' must be from 0 to 180"):
        adversarial.patch(net, x, y, size=2, rotation=200.0)
    with pytest.raises(ArgumentError, match="patch: argument 'size' must be an int"):
        adversarial.patch(net, x, y, size=0)


def test_nothing_to_learn_from():
    net, x = small_net(), images(3)
    y = (predictions(net, x) + 1) % 5
    universal = adversarial.universal(net, x, y, eps=0.1)
    assert np.allclose(universal.perturbation.numpy(), 0)
    patch = adversarial.patch(net, x, y, size=2, scale=(1, 1))
    assert patch.patch.shape == (1, 2, 2)
