"""Loss scaling against PyTorch's GradScaler, which works on its CPU too."""

import numpy as np
import pytest
from against_torch import torch
from gpulike import register_gpulike

import tinyconv as tc
from tinyconv.amp import GradScaler
from tinyconv.errors import ArgumentError, DTypeError, StateDictError

GPU = register_gpulike()
INF, NAN = float("inf"), float("nan")


def parameter(values=(2.0, -1.0), **options):
    return tc.nn.Parameter(tc.tensor(list(values), **options))


def snapshot(optimizer):
    """Return all that a step may change, as plain values."""
    params = [p.numpy(force=True).copy() for g in optimizer.param_groups for p in g["params"]]
    state = [
        {k: v.numpy().copy() if hasattr(v, "numpy") else v for k, v in values.items()}
        for values in optimizer.state.values()
    ]
    return params, state, optimizer.step_count


# -- the whole course ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_course_is_that_of_torch(name):
    options = {"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}
    weights = parameter(), torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizers = [
        getattr(lib.optim, name)([weight], **options)
        for lib, weight in zip((tc, torch), weights, strict=True)
    ]
    settings = {"init_scale": 1024.0, "growth_factor": 3.0, "backoff_factor": 0.25,
                "growth_interval": 3}  # fmt: skip
    scalers = GradScaler("cpu", **settings), torch.amp.GradScaler("cpu", **settings)
    for step, factor in enumerate([1, 1, INF, 1, 1, 1, NAN, NAN, 1, 1, 1, 1, 1, 1, 1, -INF, 1]):
        for weight, optimizer, scaler in zip(weights, optimizers, scalers, strict=True):
            optimizer.zero_grad()
            loss = (weight * weight).sum() * factor
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        ours, theirs = scalers
        assert ours.get_scale() == theirs.get_scale(), step
        assert ours.state_dict() == theirs.state_dict(), step
        np.testing.assert_allclose(
            weights[0].numpy(force=True), weights[1].detach().numpy(), rtol=1e-6, atol=1e-7
        )


def test_halves_and_doubles():
    scaler = GradScaler("cpu", growth_interval=2)
    weight = parameter()
    optimizer = tc.optim.SGD([weight], lr=0.0)
    scales = []
    for factor in (1, 1, 1, INF, 1, 1, 1):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale() / 65536)
    assert scales == [1, 2, 2, 1, 1, 2, 2]


def test_the_scale_stays_finite():
    scaler = GradScaler("cpu", init_scale=2.0**127, growth_interval=1)
    weight = parameter()
    weight.grad = tc.zeros(2)
    scaler.scale(tc.zeros(()))
    scaler.step(tc.optim.SGD([weight], lr=0.1))
    scaler.update()
    assert scaler.get_scale() == 2.0**127


def test_a_skipped_step_changes_no_bit():
    layer = tc.nn.Linear(3, 2)
    optimizer = tc.optim.Adam(layer.parameters(), lr=0.1)
    scaler = GradScaler("cpu")
    hooks = []
    optimizer.register_step_pre_hook(lambda *args: hooks.append(1))
    for factor in (1.0, INF, 1.0):
        optimizer.zero_grad()
        # Only the bias gets an infinite gradient.
        loss = layer(tc.ones(1, 3)).sum() + (layer.bias * factor).sum()
        scaler.scale(loss).backward()
        before = snapshot(optimizer)
        scaler.step(optimizer)
        after = snapshot(optimizer)
        same = (
            all(np.array_equal(a, b) for a, b in zip(before[0], after[0], strict=True))
            and before[2] == after[2]
            and str(before[1]) == str(after[1])
        )
        assert same == (factor == INF)
        scaler.update()
    assert len(hooks) == 2


def test_the_gradient_is_exact_after_unscaling():
    weight, other = parameter(), parameter()
    scaler = GradScaler("cpu", init_scale=2.0**16)
    optimizer = tc.optim.SGD([weight], lr=0.5)
    scaler.scale((weight**3).sum()).backward()
    (other**3).sum().backward()
    np.testing.assert_array_equal(weight.grad.numpy(), other.grad.numpy() * 2.0**16)
    scaler.unscale_(optimizer)
    np.testing.assert_array_equal(weight.grad.numpy(), other.grad.numpy())
    tc.nn.utils.clip_grad_norm_([weight], 1.0)
    scaler.step(optimizer)
    scaler.update()
    assert abs(np.linalg.norm(weight.numpy(force=True) - [2.0, -1.0]) - 0.5) < 1e-6


def test_small_gradients_survive_float16():
    """What the scale is for: 1e-9 is 0 in float16."""
    weight = parameter([1.0])
    for scaler, lost in ((GradScaler("cpu", enabled=False), True), (GradScaler("cpu"), False)):
        weight.grad = None
        with tc.autocast("cpu", dtype=tc.float16):
            y = tc.nn.functional.linear(tc.ones(1, 1), weight.reshape(1, 1))
        scaler.scale((y.float() * 1e-9).sum()).backward()
        assert (weight.grad.item() == 0) == lost
    optimizer = tc.optim.SGD([weight], lr=1.0)
    scaler.unscale_(optimizer)
    np.testing.assert_allclose(weight.grad.item(), 1e-9, rtol=1e-2)


def test_two_optimizers_share_a_scale():
    weights = parameter(), parameter()
    optimizers = [tc.optim.SGD([w], lr=0.1) for w in weights]
    scaler = GradScaler("cpu")
    losses = scaler.scale([(weights[0] * 1).sum(), (weights[1] * INF).sum()])
    assert isinstance(losses, list)
    assert isinstance(scaler.scale(tuple(losses)), tuple)
    for loss in losses:
        loss.backward()
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    np.testing.assert_allclose(weights[0].numpy(force=True), [1.9, -1.1])
    assert weights[1].tolist() == [2.0, -1.0]
    assert scaler.get_scale() == 2.0**15


def test_gradients_on_two_devices():
    weights = parameter(), parameter(device=GPU)
    optimizer = tc.optim.SGD(weights, lr=0.1)
    scaler = GradScaler("cpu")
    for weight in weights:
        scaler.scale((weight * weight).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    for weight in weights:
        np.testing.assert_allclose(weight.cpu().numpy(force=True), [1.6, -0.8], rtol=1e-6)
    optimizer.zero_grad()
    for weight, factor in zip(weights, (1.0, INF), strict=True):
        scaler.scale((weight * factor).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    for weight in weights:
        np.testing.assert_allclose(weight.cpu().numpy(force=True), [1.6, -0.8], rtol=1e-6)
    assert scaler.get_scale() == 2.0**15


def test_gradients_in_bfloat16_are_scaled_too():
    weight = parameter(dtype=tc.bfloat16)
    optimizer = tc.optim.SGD([weight], lr=0.5)
    scaler = GradScaler("cpu", init_scale=3.0)
    scaler.scale((weight * weight).sum()).backward()
    scaler.step(optimizer)
    assert weight.tolist() == [0.0, 0.0]


# -- who obeys the flag -------------------------------------------------------------------------


class Fused(tc.optim.SGD):
    """An optimizer that is called always, as one whose kernel reads the flag."""

    _step_supports_amp_scaling = True
    seen = ()

    def step(self, closure=None):
        type(self).seen += ((self.found_inf.item(), self.grad_scale),)
        return "stepped"


def test_an_optimizer_may_obey_the_flag_itself():
    weight = parameter()
    optimizer, scaler = Fused([weight]), GradScaler("cpu")
    for factor in (1.0, INF):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        assert scaler.step(optimizer) == "stepped"
        assert not hasattr(optimizer, "found_inf")
        scaler.update()
    assert Fused.seen == ((0.0, None), (1.0, None))


# -- state --------------------------------------------------------------------------------------


def test_state_is_restored(tmp_path):
    scaler = GradScaler("cpu", init_scale=8.0, growth_interval=3)
    weight = parameter()
    optimizer = tc.optim.SGD([weight], lr=0.0)

    def step(scaler, factor=1.0):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        return scaler.get_scale()

    step(scaler, INF)
    step(scaler)
    tc.save(scaler.state_dict(), tmp_path / "scaler.safetensors")
    saved = tc.load(tmp_path / "scaler.safetensors")
    assert saved == {"scale": 4.0, "growth_factor": 2.0, "backoff_factor": 0.5,
                     "growth_interval": 3, "_growth_tracker": 1}  # fmt: skip
    fresh, used = GradScaler("cpu"), GradScaler("cpu")
    step(used)
    for other in (fresh, used):
        other.load_state_dict(saved)
        assert other.state_dict() == saved
    expected = [step(scaler) for _ in range(5)]
    assert expected == [4, 8, 8, 8, 16]
    assert [step(fresh) for _ in range(5)] == expected
    assert [step(used) for _ in range(5)] == expected
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(saved)
    assert theirs.state_dict() == saved


def test_settings():
    scaler = GradScaler("cpu", 16.0, 3.0, 0.25, 7)
    assert scaler.is_enabled()
    assert (scaler.get_scale(), scaler.get_growth_factor(), scaler.get_backoff_factor(),
            scaler.get_growth_interval()) == (16.0, 3.0, 0.25, 7)  # fmt: skip
    scaler.set_growth_factor(4.0)
    scaler.set_backoff_factor(0.5)
    scaler.set_growth_interval(9)
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor(),
            scaler.get_growth_interval()) == (4.0, 0.5, 9)  # fmt: skip
    weight = parameter()
    scaler.scale(weight.sum()).backward()
    scaler.update(32.0)
    assert scaler.get_scale() == 32.0
    scaler.update(tc.tensor(2.0))
    assert scaler.get_scale() == 2.0


def test_disabled_does_what_a_script_without_it_would():
    scaler = GradScaler("cpu", enabled=False)
    weight = parameter()
    optimizer = tc.optim.SGD([weight], lr=0.1)
    loss = (weight * weight).sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    assert scaler.step(optimizer, lambda: loss) is loss
    scaler.update()
    np.testing.assert_allclose(weight.numpy(force=True), [1.6, -0.8], rtol=1e-6)
    assert scaler.get_scale() == 1.0
    assert scaler.state_dict() == {}
    scaler.load_state_dict({})
    assert not scaler.is_enabled()


def test_without_its_device_it_is_disabled():
    if tc.amp.is_autocast_available("cuda"):
        pytest.skip("there is a GPU")
    with pytest.warns(UserWarning, match="device 'cuda' cannot be had"):
        assert not GradScaler().is_enabled()


# -- errors -------------------------------------------------------------------------------------


def test_what_is_wrong_raises():
    with pytest.raises(ArgumentError, match="growth_factor must be above 1"):
        GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(ArgumentError, match="backoff_factor must be below 1"):
        GradScaler("cpu", backoff_factor=1.0)
    scaler, weight = GradScaler("cpu"), parameter()
    optimizer = tc.optim.SGD([weight], lr=0.1)
    with pytest.raises(ArgumentError, match="nothing was scaled"):
        scaler.step(optimizer)
    with pytest.raises(ArgumentError, match="nothing was scaled"):
        scaler.update()
    with pytest.raises(DTypeError, match="got float"):
        scaler.scale(1.0)
    loss = scaler.scale(weight.sum())
    with pytest.raises(ArgumentError, match="without gradients"):
        scaler.step(optimizer)
    with pytest.raises(ArgumentError, match="without a step"):
        scaler.update()
    loss.backward()
    scaler.update(1.0)
    with pytest.raises(ArgumentError, match="takes no closure"):
        scaler.step(optimizer, lambda: loss)
    scaler.unscale_(optimizer)
    with pytest.raises(ArgumentError, match="was called already"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(ArgumentError, match="comes after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(ArgumentError, match="step\\(\\) was called already"):
        scaler.step(optimizer)
    scaler.update()
    half = tc.nn.Parameter(tc.ones(2, dtype=tc.float16))
    half.grad = tc.ones(2, dtype=tc.float16)
    with pytest.raises(DTypeError, match="keep parameters in float32"):
        scaler.unscale_(tc.optim.SGD([half], lr=0.1))
    with pytest.raises(StateDictError, match="got nothing"):
        scaler.load_state_dict({})
