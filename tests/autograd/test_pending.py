"""Pending results: whatever is done before somebody looks, it is as if they had been computed."""

import copy
import pickle
import threading
import weakref

import numpy as np
import pytest
from fusing import SHAPE, assert_same, is_pending, layer, pending_tensor, random

import tinyconv as tc
from tinyconv import config, nn
from tinyconv.autograd import Observer
from tinyconv.nn import functional as F

pytestmark = pytest.mark.usefixtures("nothing_left_open")


# -- what somebody may do between the ops -----------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_hooks_and_retained_gradients_of_the_pre_activation(when):
    def program():
        x, seen = random(), []
        z = layer()(x * 1.5)

        def watch():
            z.retain_grad()
            z.register_hook(lambda g: seen.append(g.numpy().copy()))
            z.register_hook(lambda g: g * 2)

        if when == "before":
            watch()
        y = F.relu(z)
        if when == "after":
            watch()
        (y * y).sum().backward()
        return *seen, z.grad.numpy(), x.grad.numpy()

    assert_same(program)


def test_a_hook_that_keeps_the_gradient_and_writes_to_it_later():
    def program():
        x, kept = random(), []
        h = x * 1.5
        z = layer()(h)
        z.register_hook(kept.append)
        h.register_hook(lambda g: kept[0].zero_())
        y = F.relu(z)
        y.retain_grad()
        y.register_hook(kept.append)
        y.backward(random(seed=4, requires_grad=False))
        return [k.numpy() for k in kept] + [x.grad.numpy(), y.grad.numpy()]

    assert_same(program)


def test_a_prehook_and_a_posthook_of_the_node():
    def program():
        x, seen = random(), []
        z = layer()(x * 1.5)
        z.grad_fn.register_prehook(lambda grads: (grads[0] * 3, *grads[1:]))
        z.grad_fn.register_hook(lambda results, grads: seen.append(grads[0].numpy().copy()))
        F.relu(z).sum().backward()
        return *seen, x.grad.numpy()

    assert_same(program)


def test_gradient_with_respect_to_the_pre_activation():
    def program():
        z = layer()(random() * 1.5)
        y = F.relu(z)
        (dz,) = tc.autograd.grad((y * y).sum(), z)
        return (dz.numpy(),)

    assert_same(program)


WRITES = {
    "method": lambda h, x: h.mul_(2),
    "view": lambda h, x: h[1].zero_(),
    "setitem": lambda h, x: h.__setitem__((slice(None), 3), 7.0),
    "detached": lambda h, x: h.detach().add_(1),
    "data": lambda h, x: h.data.add_(1),
    "numpy": lambda h, x: h.detach().numpy().__setitem__(0, 5.0),
    "init": lambda h, x: nn.init.zeros_(h.detach()),
    "in place relu": lambda h, x: F.relu(h, inplace=True),
    "dlpack": lambda h, x: np.from_dlpack(h.detach()).__setitem__(0, 5.0),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("target", ["input", "residual"])
@pytest.mark.parametrize("absorbed", [False, True])
def test_writing_to_what_a_pending_result_reads(absorbed, target, write):
    def program():
        with tc.no_grad():
            x = random()
            h, r = x * 1.5, x * 0.5
            z = layer()(h)
            both = z + r
            y = F.relu(both) if absorbed else None
            WRITES[write](h if target == "input" else r, x)
            if y is None:
                y = F.relu(both)
            return y.numpy(), both.numpy(), z.numpy(), h.numpy(), r.numpy()

    assert_same(program)


def test_a_custom_function_that_writes():
    class Halve(tc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.array[...] = x.array / 2
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad / 2

    def program():
        h = random() * 1.5
        z = layer()(h)
        Halve.apply(h)
        return F.relu(z).detach().numpy(), h.detach().numpy()

    assert_same(program)


def test_parameters_and_averages_changed_before_the_result_is_used():
    def program():
        results = []
        for training in (True, False):
            bn, x = layer(training=training), random()
            z = bn(x * 1.5)
            bn.load_state_dict(layer(9).state_dict())
            results.append(F.relu(z).detach().numpy())
        return results

    assert_same(program)


def test_writing_to_what_backward_needs_raises_as_it_does_without():
    for mode in ("auto", "off"):
        with config.fusion.override(mode):
            h = random() * 1.5
            y = F.relu(layer()(h))
            h.add_(1)
            with pytest.raises(tc.errors.InPlaceError, match="BatchNorm"):
                y.sum().backward()
            x = random()
            y = F.relu(layer()(x * 1.5), inplace=True)
            y.mul_(2)
            with pytest.raises(tc.errors.InPlaceError, match="Relu"):
                y.sum().backward()


def test_writing_to_the_gradient_of_a_relu_in_flight():
    """The mask's two arrays may change between ReLU's backward and batch norm's."""

    def program():
        x, g = random(), random(seed=4, requires_grad=False)
        z = layer()(x * 1.5)
        y = F.relu(z)

        def write(grad):
            g.zero_()

        z.register_hook(write)
        y.backward(g)
        return (x.grad.numpy(),)

    assert_same(program)


def test_memory_that_numpy_shares_does_not_wait():
    array = random().detach().numpy().copy()
    leaf = tc.from_numpy(array)
    bn = layer()
    assert not is_pending(bn(leaf))
    with tc.no_grad():
        assert not is_pending(bn(leaf))
        assert not is_pending(bn(leaf.detach()))
        h = leaf * 1.5
        view = h.numpy()[1:]
        assert not is_pending(bn(h))
        del view
        assert is_pending(bn(h)), "nobody shows it any more"
        shared = leaf * 1.5
        assert is_pending(z := bn(shared))
        shared.numpy()
        assert not is_pending(z)
    h = leaf * random()
    kept = h.detach().numpy()
    assert not is_pending(bn(h))
    assert not is_pending(bn(leaf[:, :]))
    assert kept is not None


def test_a_leaf_written_in_place_is_still_numpys_memory():
    array = random().detach().numpy().copy()
    leaf = tc.from_numpy(array)
    leaf.mul_(random())  # has a history now, and the old memory
    assert not is_pending(layer()(leaf))


# -- a pending tensor is a tensor -------------------------------------------------------------


def test_shape_and_dtype_are_known_without_the_array():
    z = pending_tensor()
    assert isinstance(z, tc.Tensor)
    assert (z.shape, z.ndim, z.dim(), z.numel(), z.size(1)) == (SHAPE, 4, 4, 65536, 16)
    assert z.dtype is tc.float32
    assert z.requires_grad
    assert not z.is_leaf
    assert z.grad_fn.name() == "BatchNormBackward"
    assert type(z).__name__ == "Tensor"
    assert is_pending(z)
    z.array  # noqa: B018
    assert type(z) is tc.Tensor


LOOKS = {
    "repr": repr, "item": lambda z: z.sum().item(), "numpy": lambda z: z.detach().numpy(),
    "copy": lambda z: copy.deepcopy(z.detach()), "pickle": lambda z: pickle.dumps(z.detach()),
    "view": lambda z: z[0], "reshape": lambda z: z.reshape(-1), "clone": lambda z: z.clone(),
    "comparison": lambda z: z == z, "iteration": list, "len": len, "data": lambda z: z.data,
    "format": lambda z: f"{z}", "stride": lambda z: z.stride(), "cat": lambda z: tc.cat([z, z]),
}  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_looking_makes_it_ordinary(look):
    z = pending_tensor()
    LOOKS[look](z)
    assert type(z) is tc.Tensor
    np.testing.assert_array_equal(
        F.relu(z).detach().numpy(), F.relu(pending_tensor()).detach().numpy()
    )


def test_copies_are_plain_tensors():
    z = pending_tensor().detach()
    assert type(copy.deepcopy(z)) is tc.Tensor
    with tc.no_grad():
        z = layer()(random() * 1.5)
    assert is_pending(z)
    assert type(copy.deepcopy(z)) is tc.Tensor
    with tc.no_grad():
        z = layer()(random() * 1.5)
    assert type(pickle.loads(pickle.dumps(z))) is tc.Tensor


def test_weak_references_and_attributes_survive():
    z = pending_tensor()
    reference, identity = weakref.ref(z), hash(z)
    z.array  # noqa: B018
    assert reference() is z
    assert hash(z) == identity


def test_a_value_set_wins_over_the_promise():
    z = pending_tensor()
    z.data = tc.zeros(SHAPE)
    assert type(z) is tc.Tensor
    assert F.relu(z).sum().item() == 0


def test_setting_an_illegal_fusion_raises():
    with pytest.raises(tc.errors.ConfigError):
        config.fusion.set("on")


def test_small_results_do_not_wait():
    assert not is_pending(nn.BatchNorm2d(4)(random((2, 4, 8, 8)) * 1))


def test_nothing_waits_while_somebody_watches():
    class Watch(Observer):
        seen = ()

        def after_forward(self, node, args, outputs):
            self.seen += (type(node).__name__,)

    with Watch() as watch:
        z = layer()(random() * 1.5)
        assert not is_pending(z)
        F.relu(z)
    assert watch.seen[-2:] == ("BatchNorm", "Relu")
    with tc.autograd.detect_anomaly():
        F.relu(layer()(random() * 1.5)).sum().backward()


def test_checkpoint_and_hooks_of_saved_tensors():
    def program():
        results = []
        bn, x = layer(), random()
        y = tc.autograd.checkpoint(lambda v: F.relu(bn(v * 1.5)), x)
        (y * y).sum().backward()
        results.append(x.grad.numpy())
        x = random()
        with tc.autograd.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
            y = F.relu(layer()(x * 1.5))
        (y * y).sum().backward()
        return *results, x.grad.numpy()

    assert_same(program)


def test_module_hooks_see_the_pre_activation():
    def program():
        seen = []
        model = nn.Sequential(nn.Identity(), layer(), nn.ReLU(inplace=True))
        model[1].register_forward_hook(lambda m, a, out: seen.append(out.detach().numpy().copy()))
        y = model(random() * 1.5)
        return *seen, y.detach().numpy()

    assert_same(program)


def test_another_thread_may_use_it():
    z = pending_tensor()
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(F.relu(z).detach().numpy()))
        for _ in range(4)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    z.array  # noqa: B018
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, F.relu(pending_tensor()).detach().numpy())


def test_the_pre_activation_is_not_kept():
    x = random()
    h = x * 1.5
    z = layer()(h)
    y = F.relu(z)
    assert is_pending(z), "ReLU has computed it"
    reference = weakref.ref(z)
    del z
    assert reference() is None
    assert y.grad_fn.next_functions[0][0].name() == "BatchNormBackward"


def test_retain_graph_and_going_backward_twice():
    def program():
        x = random()
        y = F.relu(layer()(x * 1.5))
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        with pytest.raises(tc.errors.GradientError):
            y.sum().backward()
        return (x.grad.numpy(),)

    assert_same(program)
