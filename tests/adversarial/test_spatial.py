"""The spatial attack: what rotations and shifts do to pixels, and which are tried."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net
from scipy import ndimage

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial.attacks.spatial import _grid, transform
from tinyconv.errors import ArgumentError, ShapeError


def moves(*rows):
    return np.array(rows, float)


def test_whole_shifts_move_pixels_and_quarter_turns_are_rot90():
    x = images(2, shape=(3, 5, 5))
    shifted = transform(x, moves([0, 1, -2], [0, -3, 0])).numpy()
    assert np.allclose(shifted[0, :, 1:, :-2], x[0, :, :-1, 2:].numpy(), atol=1e-6)
    assert np.allclose(shifted[0, :, 0], 0, atol=1e-6)
    assert np.allclose(shifted[1, :, :2], x[1, :, 3:].numpy(), atol=1e-6)
    turned = transform(x, moves([90, 0, 0], [180, 0, 0])).numpy()
    assert np.allclose(turned[0], np.rot90(x[0].numpy(), 1, (1, 2)), atol=1e-5)
    assert np.allclose(turned[1], np.rot90(x[1].numpy(), 2, (1, 2)), atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 7), (6, 9)])
def test_any_transformation_against_scipy(shape):
    x = images(1, shape=(1, *shape)).double()
    degrees, down, right = 17.0, 1.3, -0.6
    angle = np.radians(degrees)
    # Pixels of the result (line, column) to those of the input, round the middle.
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = (np.array(shape) - 1) / 2
    expected = ndimage.affine_transform(
        x[0, 0].numpy(), back, middle - back @ (middle + [down, right]), order=1,
        mode="grid-constant",
    )  # fmt: skip
    ours = transform(x, moves([degrees, down, right]))[0, 0].numpy()
    assert np.allclose(ours, expected, atol=1e-9)


def test_outside_has_the_lowest_legal_value():
    x = tc.ones(1, 1, 4, 4)
    assert transform(x, moves([0, 10, 0]), -1.0).flatten().tolist() == [-1.0] * 16
    result = adversarial.spatial(
        small_net(), x, tc.tensor([0]), bounds=(-1, 1), translation=9.0, rotation=0.0
    )
    assert result.x_adv.min().item() >= -1


def test_the_grid_holds_all_combinations_from_small_to_large():
    grid = _grid((30.0, 3.0), 31, 5)
    assert grid.shape == (775, 3)
    assert len(np.unique(grid, axis=0)) == 775
    assert np.allclose(grid[0], 0)
    assert np.abs(grid).max(0).tolist() == [30, 3, 3]
    size = (np.abs(grid) / [30, 3, 3]).sum(1)
    assert (np.diff(size) >= -1e-12).all()
    assert _grid((0.0, 1.0), 1, 3).shape == (9, 3)


class Seeker(nn.Module):
    """Class 1 where the image is brightest at one place."""

    def __init__(self, row, column):
        super().__init__()
        self.at = row, column

    def forward(self, x):
        value = x[:, 0, self.at[0], self.at[1]].reshape(-1, 1)
        return tc.cat([value * 0 + 0.99, value], 1)


def test_the_grid_finds_the_one_shift_that_works():
    x = tc.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 1.0
    result = adversarial.spatial(
        Seeker(5, 2), x, tc.tensor([0]), rotation=0.0, translation=2.0, angles=1, shifts=5
    )
    assert result.success.all()
    assert result.x_adv[0, 0, 5, 2].item() == pytest.approx(1, abs=1e-5)
    assert result.norm["l0"][0] >= 2
    order = _grid((0.0, 2.0), 1, 5)
    assert order[result.restart[0]].tolist() == [0, 2, -1]
    assert result.queries[0, 0] == 1 + result.restart[0] + 1 + 2


def test_what_moves_is_seen_within_the_mask_alone():
    x = images(3, shape=(1, 7, 7)) * 0.9
    x[:, 0, 3, 3] = 1.0
    mask = tc.zeros(7, 7, dtype=tc.bool)
    mask[1:6, 1:6] = True
    arguments = {"rotation": 0.0, "translation": 2.0, "angles": 1, "shifts": 5}
    y = tc.zeros(3, dtype=tc.int64)
    result = adversarial.spatial(Seeker(5, 2), x, y, mask=mask, **arguments)
    free = adversarial.spatial(Seeker(5, 2), x, y, **arguments)
    assert result.success.all()
    hidden = ~mask.numpy()
    assert np.array_equal(result.x_adv.numpy()[..., hidden], x.numpy()[..., hidden])
    assert (free.x_adv.numpy()[..., hidden] != x.numpy()[..., hidden]).any()
    same = result.x_adv.numpy() == free.x_adv.numpy()
    assert same[..., mask.numpy()].all()
    mask[5, 2] = False  # what the model looks at
    assert not adversarial.spatial(Seeker(5, 2), x, y, mask=mask, **arguments).success.any()


def test_random_transformations_are_each_samples_own_and_within_the_limits():
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(x.numpy(force=True).copy())
            return tc.tensor([[1.0, 0.0]]).expand(len(x), 2)

    x = tc.zeros(6, 1, 9, 9)
    x[:, :, 4, 4] = 1.0
    arguments = {"search": "random", "rotation": 0.0, "translation": 2.0}
    y = tc.zeros(6, dtype=tc.int64)
    adversarial.spatial(Watch(), x, y, draws=20, **arguments)
    centres = np.array([[ndimage.center_of_mass(i[0]) for i in batch] for batch in seen[1:21]])
    assert np.abs(centres - 4).max() <= 2 + 1e-5
    assert np.abs(centres - 4).max() > 1.8
    assert len(np.unique(centres.reshape(-1, 2).round(4), axis=0)) == 120
    net, x = small_net(), images(8)
    y = predictions(net, x)
    few, many = (
        adversarial.spatial(net, x, y, search="random", draws=n, translation=1.0) for n in (2, 9)
    )
    assert (many.success >= few.success).all()
    assert many.success.any()


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    with pytest.raises(ShapeError, match="spatial: argument 'x' must be images"):
        adversarial.spatial(net, x.reshape(2, 16), y)
    with pytest.raises(ArgumentError, match="spatial: argument 'rotation' must be finite"):
        adversarial.spatial(net, x, y, rotation=-1.0)
    with pytest.raises(ArgumentError, match="spatial: argument 'search' must be 'grid' or"):
        adversarial.spatial(net, x, y, search="all")
    with pytest.raises(ArgumentError, match="spatial: argument 'angles' must be an int"):
        adversarial.spatial(net, x, y, angles=0)
