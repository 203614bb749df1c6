"""What holds for every attack, on every model: each row of the table of attacks is tried."""

import math

import numpy as np
import pytest
from attack_cases import CASES, AttackCase, images, predictions, small_net

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, IndexRangeError, ShapeError

NORMS = [
    pytest.param(case, norm, id=f"{case.name}-{norm}") for case in CASES for norm in case.norms
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
norms = pytest.mark.parametrize(("case", "norm"), NORMS)


class Constant(nn.Module):
    """The same logits for every image, with a graph: no attack can succeed."""

    def forward(self, x):
        flat = x.reshape(len(x), -1)
        return flat.sum(1, keepdim=True) * 0 + tc.tensor([3.0, 1.0, 0.0, -1.0])


def assert_feasible(case: AttackCase, result, x, norm, eps=None):
    values = result.x_adv.numpy(force=True)
    assert result.x_adv.shape == x.shape
    assert result.x_adv.dtype == x.dtype
    assert np.isfinite(values).all()
    assert values.min(initial=0) >= 0
    assert values.max(initial=0) <= 1
    if case.within is not None:
        allowed = case.within[norm] if eps is None else eps
        assert (result.norm[norm] <= allowed + 1e-6).all()


@norms
def test_images_stay_in_ball_and_box_and_success_is_true(case, norm):
    net, x = small_net(), images(8)
    y = predictions(net, x)
    result = case.run(net, x, y, norm)
    assert_feasible(case, result, x, norm)
    assert not result.clean_wrong.any()
    wrong = (predictions(net, result.x_adv) != y).numpy(force=True)
    assert np.array_equal(result.success, wrong)
    change = (result.x_adv - x).double().abs().reshape(len(x), -1)
    assert np.allclose(result.norm["linf"], change.amax(1).numpy())
    assert np.allclose(result.norm["l1"], change.sum(1).numpy())
    assert np.allclose(result.norm["l2"], (change**2).sum(1).sqrt().numpy())
    assert np.array_equal(result.norm["l0"], (change != 0).sum(1).numpy())
    rounded = (result.x_adv * 255).round() / 255
    assert np.array_equal(result.success_uint8, (predictions(net, rounded) != y).numpy())
    assert result.attack == case.name
    assert result.config["norm"] == norm if "norm" in result.config else len(case.norms) == 1


@norms
def test_a_constant_classifier_gives_feasible_failures(case, norm):
    x = images(3)
    result = case.run(Constant(), x, tc.zeros(3, dtype=tc.int64), norm)
    assert not result.success.any()
    assert_feasible(case, result, x, norm)
    if case.within is None:
        assert np.array_equal(result.x_adv.numpy(), x.numpy()) or not case.least
        assert np.isinf(result.eps_used).all()


@norms
def test_a_dead_net_gives_no_nan(case, norm):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 4))
    net[1].bias.data.fill_(-100.0)
    x = images(3)
    result = case.run(net, x, predictions(net, x), norm)
    assert_feasible(case, result, x, norm)
    assert not result.success.any()


@norms
def test_no_room_returns_the_input(case, norm):
    if case.within is None:
        pytest.skip("looks for the least perturbation")
    if case.radius == "pixels":
        pytest.skip("changes at least one pixel")
    net, x = small_net(), images(4)
    result = case.run(net, x, predictions(net, x), norm, eps=0.0 if case.radius == "eps" else 0)
    assert np.array_equal(result.x_adv.numpy(), x.numpy())
    assert not result.success.any()


@cases
def test_samples_that_are_wrong_come_back_unchanged_and_count(case):
    net, x = small_net(), images(6)
    y = predictions(net, x)
    y[2] = (y[2] + 1) % 5
    result = case.run(net, x, y)
    assert result.clean_wrong.tolist() == [False, False, True, False, False, False]
    assert np.array_equal(result.x_adv[2].numpy(), x[2].numpy())
    assert result.success[2]
    assert result.norm["linf"][2] == 0
    assert result.robust_accuracy <= 5 / 6


@cases
def test_batch_size_and_order_change_no_bit(case):
    if case.coupled:
        pytest.skip(case.coupled)
    net, x = small_net(), images(7)
    y = predictions(net, x)
    whole = case.run(net, x, y)
    parts = case.run(net, x, y, batch_size=3)
    assert np.array_equal(whole.x_adv.numpy(), parts.x_adv.numpy())
    assert np.array_equal(whole.queries, parts.queries)
    order = np.array([3, 0, 6, 5, 1, 2, 4])
    mixed = case.run(net, x[tc.tensor(order)], y[tc.tensor(order)], index=order)
    assert np.array_equal(mixed.x_adv.numpy(), whole.x_adv.numpy()[order])
    alone = case.run(net, x[4:5], y[4:5], index=[4])
    assert np.array_equal(alone.x_adv.numpy(), whole.x_adv[4:5].numpy())


@cases
def test_the_seed_decides_and_nothing_else_is_touched(case):
    net, x = small_net(), images(5)
    y = predictions(net, x)
    net(x).sum().backward()
    net[0].train()
    net[2].eval()
    net[5].bias.requires_grad_(False)
    gradients = [None if p.grad is None else p.grad.numpy().copy() for p in net.parameters()]
    buffers = [b.numpy().copy() for b in net.buffers()]
    modes = [m.training for m in net.modules()]
    wanted = [p.requires_grad for p in net.parameters()]
    tc.manual_seed(5)
    state = tc.get_rng_state()
    first = case.run(net, x, y, seed=3)
    assert tc.get_rng_state() == state
    tc.rand(10)
    second = case.run(net, x, y, seed=3)
    assert np.array_equal(first.x_adv.numpy(), second.x_adv.numpy())
    assert modes == [m.training for m in net.modules()]
    assert wanted == [p.requires_grad for p in net.parameters()]
    for before, buffer in zip(buffers, net.buffers(), strict=True):
        assert np.array_equal(before, buffer.numpy())
    for before, parameter in zip(gradients, net.parameters(), strict=True):
        assert (before is None) == (parameter.grad is None)
        assert before is None or np.array_equal(before, parameter.grad.numpy())


@cases
def test_state_is_restored_after_an_error(case):
    class Fails(nn.Module):
        def forward(self, x):
            tc.rand(3)
            raise RuntimeError("no")

    net = nn.Sequential(nn.Dropout(0.5), Fails())
    tc.manual_seed(1)
    state = tc.get_rng_state()
    with pytest.raises(RuntimeError, match="no"):
        case.run(net, images(2), tc.zeros(2, dtype=tc.int64))
    assert net[0].training
    assert tc.get_rng_state() == state


@cases
def test_an_empty_batch_gives_an_empty_result(case):
    result = case.run(small_net(), tc.zeros(0, 1, 4, 4), tc.zeros(0, dtype=tc.int64))
    assert len(result) == 0
    assert result.x_adv.shape == (0, 1, 4, 4)
    assert math.isnan(result.robust_accuracy)
    assert "0 images" in result.table()


@cases
def test_a_mask_protects_what_it_hides(case):
    if not case.masked:
        pytest.skip("takes no mask")
    net, x = small_net(), images(6)
    mask = tc.zeros(1, 4, 4, dtype=tc.bool)
    mask[:, 1:3] = True
    result = case.run(net, x, predictions(net, x), mask=mask)
    assert np.array_equal(result.x_adv[:, :, 0].numpy(), x[:, :, 0].numpy())
    assert np.array_equal(result.x_adv[:, :, 3].numpy(), x[:, :, 3].numpy())


@norms
def test_a_targeted_success_reaches_the_target(case, norm):
    if not case.targeted:
        pytest.skip("is never targeted")
    net, x = small_net(), images(6)
    y = predictions(net, x)
    target = (y + 1) % 5
    result = case.run(net, x, target, norm, targeted=True)
    assert_feasible(case, result, x, norm)
    reached = (predictions(net, result.x_adv) == target).numpy()
    assert np.array_equal(result.success, reached)


@cases
def test_more_never_hurts(case):
    if case.more is None:
        pytest.skip("has no such argument")
    name, few, many = case.more
    net, x = small_net(), images(12)
    y = predictions(net, x)
    less, more = (case.run(net, x, y, **{name: count}) for count in (few, many))
    if case.within is None:
        assert (more.eps_used <= less.eps_used).all()
    else:
        assert (more.success >= less.success).all()


#: Attacks whose path with more steps goes on where that with fewer ended, if a step is as long.
LONGER = {
    "bim": {"step_size": 0.02}, "pgd": {"step_size": 0.02}, "mi_fgsm": {"step_size": 0.02},
    "ni_fgsm": {"step_size": 0.02}, "di_fgsm": {"step_size": 0.02}, "ti_fgsm": {"step_size": 0.02},
    "hop_skip_jump": {}, "boundary": {}, "deepfool": {}, "one_pixel": {},
}  # fmt: skip


@norms
def test_more_steps_never_hurt_a_sample(case, norm):
    if case.name not in LONGER:
        pytest.skip("takes no steps, or plans them by their number")
    net, x = small_net(), images(12)
    y = predictions(net, x)
    less, more = (
        case.run(net, x, y, norm, steps=steps, **LONGER[case.name]) for steps in (2, 7)
    )  # fmt: skip
    if case.within is None:
        assert (more.eps_used <= less.eps_used).all()
    else:
        assert (more.success >= less.success).all()


#: Attacks that plan their steps by their number: the argument, and two values.
PLANNED = {
    "apgd": ("steps", 3, 30), "spsa": ("steps", 2, 20), "square": ("steps", 5, 100),
    "zoo": ("steps", 5, 50), "fab": ("steps", 2, 20), "fmn": ("steps", 5, 60),
    "carlini_wagner": ("steps", 5, 60), "ead": ("steps", 5, 60), "spatial": ("angles", 2, 9),
    "universal": ("epochs", 1, 8), "patch": ("epochs", 1, 8),
}  # fmt: skip


@norms
def test_more_steps_never_hurt_on_the_whole(case, norm):
    if case.name not in PLANNED:
        assert case.name in LONGER or case.name in ("fgsm", "noise", "jsma", "auto_attack")
        pytest.skip("takes no steps, or never hurts a sample")
    name, few, many = PLANNED[case.name]
    net, x = small_net(), images(30)
    y = predictions(net, x)
    less, more = (case.run(net, x, y, norm, **{name: count}) for count in (few, many))
    assert more.success.sum() >= less.success.sum()
    if case.within is None and case.least:
        assert more.success.any()
        both = less.success & more.success
        assert not both.any() or np.median((more.eps_used / less.eps_used)[both]) <= 1


@norms
def test_a_larger_radius_never_hurts_on_the_whole(case, norm):
    if case.within is None:
        pytest.skip("looks for the least perturbation")
    net, x = small_net(), images(30)
    y = predictions(net, x)
    sizes = (1, 3, 8) if case.radius != "eps" else (0.03, 0.1, 0.4)
    broken = [case.run(net, x, y, norm, eps=size).success.sum() for size in sizes]
    assert broken[0] <= broken[1] <= broken[2]
    assert broken[0] < broken[2] or case.name == "noise"


@cases
def test_double_precision_and_other_shapes(case):
    tc.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5, dtype=tc.float64))
    x = tc.rand(3, 6, dtype=tc.float64)
    x = x if case.flat else x.reshape(3, 1, 2, 3)
    result = case.run(net, x, predictions(net, x))
    assert result.x_adv.dtype == tc.float64
    assert_feasible(case, result, x, case.norms[0])


@cases
def test_bad_arguments_are_named(case):
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    with pytest.raises(ArgumentError, match=rf"{case.name}: .*outside of bounds.*nn\.Normalize"):
        case.run(net, x * 2 - 1, y)
    with pytest.raises(ArgumentError, match=f"{case.name}: argument 'y' is missing"):
        case.run(net, x, None)
    with pytest.raises(ShapeError, match="one class index a sample"):
        case.run(net, x, y[:1])
    with pytest.raises(IndexRangeError, match="from 0 to 4, got 0 to 9"):
        case.run(net, x, tc.tensor([0, 9]))
    with pytest.raises(ArgumentError, match="'bounds' must be two finite numbers"):
        case.run(net, x, y, bounds=(1, 0))
    with pytest.raises(ArgumentError, match="'batch_size' must be at least 1"):
        case.run(net, x, y, batch_size=0)
    with pytest.raises(ArgumentError, match="'model_mode' must be 'eval' or 'as_is'"):
        case.run(net, x, y, model_mode="train")
    if case.within is not None and case.radius == "eps":
        with pytest.raises(ArgumentError, match="'eps' must be finite and at least 0"):
            case.run(net, x, y, eps=-0.1)
        with pytest.raises(ArgumentError, match=r"'norm' must be one of .* got 'l3'"):
            case.run(net, x, y, norm="l3")
    if case.masked:
        with pytest.raises(ShapeError, match="'mask' of shape"):
            case.run(net, x, y, mask=tc.ones(3, 3, 3))
