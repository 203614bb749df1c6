"""Adversarial training: each loss by its formula, the loop, its alarm, and robust nets."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net
from scipy.special import log_softmax, softmax

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import (
    AdversarialTrainer,
    FastTraining,
    FreeTraining,
    IntervalTraining,
    MartTraining,
    PGDTraining,
    TradesTraining,
    certified_margin,
    interval_loss,
    pgd,
)
from tinyconv.adversarial.defences.trades import boosted_cross_entropy
from tinyconv.adversarial.defences.training import collapsed
from tinyconv.autograd import gradcheck
from tinyconv.errors import ArgumentError
from tinyconv.nn import functional as F
from tinyconv.train import Trainer

METHODS = [
    PGDTraining(0.1, steps=3), PGDTraining(0.5, norm="l2", steps=3), PGDTraining(1.0, norm="l1"),
    FastTraining(0.1), FreeTraining(0.1, replays=3), TradesTraining(0.1, steps=3),
    MartTraining(0.1, steps=3), IntervalTraining(0.1, ramp=3),
]  # fmt: skip
methods = pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name}-{m.norm}")
CRAFTED = [m for m in METHODS if isinstance(m, PGDTraining)]
crafted = pytest.mark.parametrize("method", CRAFTED, ids=lambda m: f"{m.name}-{m.norm}")


class Linear(nn.Module):
    """Two classes, logits that are linear in the pixels; attacks have a known best answer."""

    def __init__(self):
        super().__init__()
        tc.manual_seed(0)
        self.layer = nn.Linear(16, 2, dtype=tc.float64)

    def forward(self, x):
        return self.layer(x.reshape(len(x), -1))


# -- the attacks inside ---------------------------------------------------------------------------


@crafted
def test_attacked_images_are_feasible_and_the_model_is_left_alone(method):
    net, x = small_net(), images(6)
    y = predictions(net, x)
    net[2].eval()
    modes = [m.training for m in net.modules()]
    buffers = [b.numpy().copy() for b in net.buffers()]
    found = method.attack(net, x, y)
    values, change = found.numpy(), (found - x).double().reshape(6, -1).numpy()
    assert values.min() >= 0
    assert values.max() <= 1
    order = {"linf": np.inf, "l2": 2, "l1": 1}[method.norm]
    length = np.linalg.norm(change, order, axis=1)
    assert (length <= method.eps + 1e-6).all()
    assert (length > 0).all()
    assert not found.requires_grad
    assert modes == [m.training for m in net.modules()]
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    for before, buffer in zip(buffers, net.buffers(), strict=True):
        assert np.array_equal(before, buffer.numpy())


@crafted
def test_the_global_seed_decides(method):
    net, x = small_net(), images(4)
    y = predictions(net, x)
    results = []
    for seed in (1, 1, 2):
        tc.manual_seed(seed)
        results.append(method.attack(net, x, y).numpy())
    assert np.array_equal(results[0], results[1])
    if isinstance(method, MartTraining):
        return  # starts close to the image, and ends in the same corner
    assert not np.array_equal(results[0], results[2])
    tc.manual_seed(1)
    first, second = (method.attack(net, x, y).numpy() for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "method",
    [
        PGDTraining(0.05),
        MartTraining(0.05),
        TradesTraining(0.05),
        FastTraining(0.05, step_size=0.2),
    ],
    ids=lambda m: m.name,
)
def test_the_attack_finds_the_best_answer_of_a_linear_model(method):
    net = Linear()
    x = images(6).double() * 0.8 + 0.1  # the box is not met
    y = tc.tensor([0, 1, 0, 1, 0, 1])
    weight = net.layer.weight.numpy(force=True)
    direction = np.sign(weight[1] - weight[0]).reshape(1, 1, 4, 4)
    change = (method.attack(net, x, y) - x).numpy()
    if isinstance(method, TradesTraining):  # further from the start, on either side
        side = np.sign((change * direction).sum((1, 2, 3), keepdims=True))
    else:
        side = np.array([1, -1] * 3)[:, None, None, None]
    np.testing.assert_allclose(change, 0.05 * side * np.broadcast_to(direction, x.shape), atol=1e-9)


def test_fast_training_takes_one_step_of_a_radius_and_a_quarter():
    net, x = Linear(), images(30).double() * 0.6 + 0.2
    y = tc.zeros(30, dtype=tc.int64)
    weight = net.layer.weight.numpy(force=True)
    direction = np.sign(weight[1] - weight[0]).reshape(1, 1, 4, 4)
    change = (FastTraining(0.1).attack(net, x, y) - x).numpy() * direction
    # From the far side of the ball it comes a quarter of the radius beyond the middle.
    assert 0.025 <= change.min() < 0.035
    assert change.max() == pytest.approx(0.1)
    assert (change < 0.0999).mean() == pytest.approx(0.375, abs=0.1)


def test_model_mode_of_the_attack():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            seen.append(self.training)
            return super().forward(x)

    net = nn.Sequential(nn.Flatten(), Spy(16, 3))
    x, y = images(2), tc.tensor([0, 1])
    PGDTraining(0.1, steps=2).loss(net, x, y)
    PGDTraining(0.1, steps=2, model_mode="as_is").loss(net, x, y)
    assert seen == [False, False, True, True, True, True]


# -- the losses -----------------------------------------------------------------------------------


def parts(method, net, x, y):
    """Return a method's loss and logits, and the logits of the clean and of the attacked images."""
    tc.manual_seed(5)
    loss, logits = method.loss(net, x, y)
    tc.manual_seed(5)
    attacked = method.attack(net, x, y)
    clean, found = (net(t).numpy(force=True) for t in (x, attacked))
    return loss.item(), logits.numpy(force=True), clean, found


def test_losses_by_their_formulas():
    net = Linear()
    x, y = images(6).double(), np.array([0, 1, 0, 1, 0, 1])
    target, rows = tc.tensor(y), np.arange(6)
    loss, logits, _, found = parts(PGDTraining(0.1, steps=3), net, x, target)
    assert loss == pytest.approx(-log_softmax(found, 1)[rows, y].mean())
    np.testing.assert_allclose(logits, found)

    loss, logits, clean, found = parts(TradesTraining(0.1, beta=2.5, steps=3), net, x, target)
    p, log_p, log_q = softmax(clean, 1), log_softmax(clean, 1), log_softmax(found, 1)
    divergence = (p * (log_p - log_q)).sum(1)
    assert divergence.min() > 0
    assert loss == pytest.approx(-log_p[rows, y].mean() + 2.5 * divergence.mean())
    np.testing.assert_allclose(logits, clean)

    loss, logits, clean, found = parts(MartTraining(0.1, beta=4.0, steps=3), net, x, target)
    p, q = softmax(clean, 1), softmax(found, 1)
    boosted = -np.log(q[rows, y]) - np.log(1 - q[rows, 1 - y])
    divergence = (p * np.log(p / q)).sum(1) * (1 - p[rows, y])
    assert loss == pytest.approx((boosted + 4 * divergence).mean())
    np.testing.assert_allclose(logits, found)


def testboosted_cross_entropy_with_many_classes_and_without_overflow():
    z = np.random.default_rng(0).normal(size=(5, 4)) * 2
    y = np.array([0, 1, 2, 3, 0])
    p = softmax(z, 1)
    others = p.copy()
    others[np.arange(5), y] = 0
    expected = -np.log(p[np.arange(5), y]) - np.log(1 - others.max(1))
    found = boosted_cross_entropy(tc.tensor(z), tc.tensor(y))
    np.testing.assert_allclose(found.numpy(), expected)
    assert gradcheck(
        lambda t: boosted_cross_entropy(t, tc.tensor(y)), (tc.tensor(z, requires_grad=True),)
    )
    far = boosted_cross_entropy(tc.tensor([[0.0, 500.0, 0.0]]), tc.tensor([0]))
    assert np.isfinite(far.item())
    assert far.item() == pytest.approx(1000 - np.log(2))


@pytest.mark.parametrize("method", [TradesTraining(0.1, steps=2), MartTraining(0.1, steps=2)],
                         ids=lambda m: m.name)  # fmt: skip
def test_gradient_flows_through_the_clean_and_the_attacked_side(method):
    net, x, y = Linear(), images(4).double(), tc.tensor([0, 1, 0, 1])
    tc.manual_seed(2)
    attacked = method.attack(net, x, y)
    method.attack = lambda *_: attacked  # held still, so that differences are those of the loss
    try:
        loss, _ = method.loss(net, x, y)
        loss.backward()
        direction = tc.randn(2, 16, dtype=tc.float64)
        slope = (net.layer.weight.grad * direction).sum().item()
        values = []
        for step in (1e-6, -2e-6):
            net.layer.weight.data.add_(direction * step)
            values.append(method.loss(net, x, y)[0].item())
    finally:
        del method.attack
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-6)


def test_interval_training_follows_its_schedule():
    net, x, y = small_net().eval(), images(4), tc.tensor([0, 1, 2, 3])
    method = IntervalTraining(0.2, kappa=0.4, warmup=2, ramp=4)
    for eps, kappa in [(0, 1), (0, 1), (0, 1), (0.05, 0.85), (0.1, 0.7), (0.15, 0.55), (0.2, 0.4),
                       (0.2, 0.4)]:  # fmt: skip
        expected = interval_loss(net, x, y, eps, kappa).item()
        assert method.loss(net, x, y)[0].item() == pytest.approx(expected, rel=1e-5)
        method.after_update()


def test_free_training_carries_its_perturbation_on():
    net, method = Linear(), FreeTraining(0.1, replays=2)
    x, y = images(4).double(), tc.tensor([0, 1, 0, 1])
    noise = np.zeros((4, 1, 4, 4))
    for count in (4, 2, 4):  # the middle batch is smaller
        clean, target = x[:count], y[:count]
        loss, logits = method.loss(net, clean, target)
        moved = np.clip(clean.numpy() + noise[:count], 0, 1)
        np.testing.assert_allclose(
            logits.numpy(force=True), net(tc.tensor(moved)).numpy(force=True)
        )
        loss.backward()
        twin = tc.tensor(moved, requires_grad=True)
        F.cross_entropy(net(twin), target).backward()
        step = 0.1 * np.sign(twin.grad.numpy())
        noise[:count] = np.clip(noise[:count] + step, -0.1, 0.1)
        method.after_update()
        np.testing.assert_allclose(method.state_dict()["noise"].numpy(), noise)
    assert np.abs(noise).max() == pytest.approx(0.1)


# -- the loop -------------------------------------------------------------------------------------


def blobs(count=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.uniform(0, 0.3, (count, 1, 4, 4))
    x[np.arange(count), 0, y, y] += 0.6
    return tc.data.TensorDataset(tc.tensor(x.astype(np.float32)), tc.tensor(y))


def make(method, **options):
    tc.manual_seed(3)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(12, 3),
    )  # fmt: skip
    optimizer = tc.optim.Adam(net.parameters(), lr=0.02)
    trainer = AdversarialTrainer(net, optimizer, method, num_classes=3, attack_steps=3, **options)
    return trainer, tc.data.DataLoader(blobs(), 16, shuffle=True)


def fresh(method):
    """Return a method of the same kind that has not been used."""
    if isinstance(method, FreeTraining):
        return FreeTraining(method.eps, replays=method.replays)
    return IntervalTraining(0.1, ramp=3) if isinstance(method, IntervalTraining) else method


@methods
def test_every_method_learns_and_validates(method):
    trainer, loader = make(fresh(method))
    held_out = tc.data.DataLoader(blobs(seed=1), 25)
    history = trainer.fit(loader, held_out, epochs=6)
    assert history.column("val_accuracy")[-1] > 0.75
    assert all(len(row) == len(history.rows[0]) for row in history.rows)
    for row in history.rows:
        assert row["val_robust_accuracy"] <= row["val_fgsm_accuracy"] + 0.1
        assert row["val_fgsm_accuracy"] <= row["val_accuracy"]
    assert trainer.best["robust_accuracy"] == max(history.column("val_robust_accuracy"))


@methods
@pytest.mark.parametrize("step", [3, 6])
def test_resume_gives_the_same_bits(method, step, tmp_path):
    held_out = tc.data.DataLoader(blobs(seed=1), 60)
    straight, loader = make(fresh(method), restore_best=False)
    straight.fit(loader, held_out, epochs=3)

    stopped, loader = make(fresh(method), restore_best=False)
    update, calls = stopped._update, []

    def stop(images, target):
        import os
        import signal

        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return update(images, target)

    stopped._update = stop
    stopped.fit(loader, held_out, epochs=3)
    assert stopped.interrupted
    tc.save(stopped.state_dict(loader), tmp_path / "state.safetensors")

    resumed, loader = make(fresh(method), restore_best=False)
    tc.manual_seed(99)
    resumed.load_state_dict(tc.load(tmp_path / "state.safetensors"), loader)
    resumed.fit(loader, held_out, epochs=3)
    for name, value in straight.model.state_dict().items():
        assert np.array_equal(value.numpy(), resumed.model.state_dict()[name].numpy()), name
    for column in ("loss", "val_robust_accuracy", "collapsed"):
        assert straight.history.column(column) == resumed.history.column(column)
    assert straight.best["epoch"] == resumed.best["epoch"]


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", tc.bfloat16), ("fp16", tc.float16)])
@methods
def test_lower_precision_is_for_the_training_and_not_for_the_attack(method, precision, dtype):
    trainer, loader = make(fresh(method), precision=precision)
    attacked, trained = set(), set()

    def note(module, inputs, logits):
        # Attacks run on parameters that ask for no gradient.
        asked = next(trainer.model.parameters()).requires_grad
        values = getattr(logits, "lower", logits)  # of an interval
        (trained if asked and module.training else attacked).add(values.dtype)

    handle = trainer.model.register_forward_hook(note)
    history = trainer.fit(loader, epochs=6)
    assert trained == {dtype}
    assert attacked == ({tc.float32} if method in CRAFTED else set())
    handle.remove()
    trainer.fit(loader, tc.data.DataLoader(blobs(seed=1), 60), epochs=12)
    assert max(row["val_accuracy"] for row in history.rows[6:]) > 0.75
    assert {p.dtype for p in trainer.model.parameters()} == {tc.float32}
    assert trainer.scaler.is_enabled() == (precision == "fp16")


def test_attacked_images_are_the_same_under_autocast():
    net, x = small_net(), images(6)
    y, method = predictions(net, x), PGDTraining(0.5, norm="l2", steps=3)
    tc.manual_seed(1)
    expected = method.attack(net, x, y)
    tc.manual_seed(1)
    with tc.autocast("cpu", tc.bfloat16):
        found = method.attack(net, x, y)
    assert np.array_equal(found.numpy(), expected.numpy())


def test_a_gradient_that_overflows_leaves_no_nan_in_free_training():
    trainer, loader = make(FreeTraining(0.1), precision="fp16")
    trainer.scaler.load_state_dict({**trainer.scaler.state_dict(), "scale": 2.0**120})
    trainer.model.train()
    trainer._update(*next(iter(loader)))
    noise = trainer.method.state_dict()["noise"].numpy()
    assert np.isfinite(noise).all()
    assert np.abs(noise).max() <= np.float32(0.1)


def test_robust_accuracy_is_that_of_pgd():
    trainer, _ = make(PGDTraining(0.2))
    dataset = blobs(seed=1)
    found = trainer.validate(tc.data.DataLoader(dataset, 7))
    x, y = dataset[:]
    assert (
        found["val_robust_accuracy"] == pgd(trainer.model, x, y, eps=0.2, steps=3).robust_accuracy
    )


def test_replays_update_as_often():
    trainer, loader = make(FreeTraining(0.1, replays=5))
    trainer.fit(loader, epochs=1)
    steps = [state["step"] for state in trainer.optimizer.state.values()]
    assert {int(s) for s in steps} == {4 * 5}


def scripted(trainer, robust, quick):
    values = iter(zip(robust, quick, strict=True))
    trainer.weights = []

    def validate(loader):
        trainer.weights.append({k: v.numpy().copy() for k, v in trainer.model.state_dict().items()})
        robust, quick = next(values)
        return {"val_robust_accuracy": robust, "val_fgsm_accuracy": quick}

    trainer.validate = validate


@pytest.mark.parametrize("restore", [True, False])
def test_the_best_epoch_is_restored(restore):
    trainer, loader = make(FastTraining(0.1), restore_best=restore)
    scripted(trainer, [0.5, 0.8, 0.8, 0.7], [0.9] * 4)
    trainer.fit(loader, loader, epochs=4)
    assert trainer.best["epoch"] == 2
    expected = trainer.weights[1 if restore else 3]
    for name, value in trainer.model.state_dict().items():
        assert np.array_equal(value.numpy(), expected[name]), name


def test_the_alarm_sounds_when_only_single_steps_are_fooled():
    trainer, loader = make(FastTraining(0.1))
    scripted(trainer, [0.7, 0.72, 0.1], [0.8, 0.8, 0.95])
    message = r"epoch 3: accuracy under PGD is 10\.0%, after 72\.0% .* FGSM is 95\.0%"
    with pytest.warns(RuntimeWarning, match=message):
        trainer.fit(loader, loader, epochs=3)
    assert trainer.history.column("collapsed") == [False, False, True]


@pytest.mark.parametrize(
    ("best", "robust", "quick", "expected"),
    [
        (0.6, 0.1, 0.9, True),
        (0.6, 0.1, 0.15, False),  # both have fallen: the model has unlearnt, or not
        (0.6, 0.35, 0.9, False),
        (0.15, 0.05, 0.2, False),  # no better than guessing before
        (0.0, 0.0, 0.5, False),
    ],
)
def test_what_counts_as_a_collapse(best, robust, quick, expected):
    assert collapsed(best, robust, quick, 0.1) is expected


def test_without_validation_it_is_a_plain_trainer():
    trainer, loader = make(PGDTraining(0.1, steps=2))
    history = trainer.fit(loader, epochs=2)
    assert set(history.rows[0]) == {"epoch", "lr", "loss", "accuracy", "seconds"}
    assert trainer.best is None


def test_bad_arguments_are_named():
    for call, message in [
        (lambda: PGDTraining(0.1, norm="l3"), "PGDTraining: argument 'norm' must be one of"),
        (lambda: PGDTraining(0.1, steps=0), "PGDTraining: argument 'steps' must be"),
        (lambda: FastTraining(0.1, step_size=-1), "FastTraining: argument 'step_size' must be"),
        (lambda: FreeTraining(0.1, replays=0), "FreeTraining: argument 'replays' must be"),
        (lambda: TradesTraining(0.1, beta=-1), "TradesTraining: argument 'beta' must be finite"),
        (lambda: IntervalTraining(0.1, kappa=2), "IntervalTraining: argument 'kappa' must be from"),
        (
            lambda: IntervalTraining(0.1, warmup=-1),
            "argument 'warmup' must be an int of at least 0",
        ),
        (lambda: make(FastTraining(0.1), attack_restarts=0), "argument 'attack_restarts' must be"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            call()
    for method in METHODS:
        with pytest.raises(ArgumentError, match=rf"{method.name}: .*outside of bounds.*Normalize"):
            method.loss(small_net(), images(2) * 4 - 2, tc.tensor([0, 1]))


# -- robust nets ----------------------------------------------------------------------------------


def digits(train):
    pytest.importorskip("sklearn")
    part = tc.datasets.Digits(train=train)
    return tc.data.TensorDataset(tc.as_tensor(part.images), tc.as_tensor(part.targets))


def digit_net():
    tc.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return net, tc.optim.Adam(net.parameters(), lr=2e-3)


def robust_accuracy(net, eps):
    x, y = digits(False)[:]
    return pgd(net, x, y, eps=eps, steps=50, restarts=2).robust_accuracy


def test_a_few_epochs_of_fast_training_beat_plain_training():
    results = []
    for trainer in (
        Trainer(*digit_net()), AdversarialTrainer(*digit_net(), FastTraining(0.15)),
    ):  # fmt: skip
        trainer.fit(tc.data.DataLoader(digits(True), 64, shuffle=True), epochs=4)
        results.append(robust_accuracy(trainer.model, 0.15))
    plain, fast = results
    assert fast > plain + 0.12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "epochs", "clean", "robust"),
    [
        (PGDTraining(0.2, steps=7), 10, 0.85, 0.3),
        (FastTraining(0.2), 10, 0.8, 0.25),
        (FreeTraining(0.2, replays=4), 5, 0.85, 0.3),
        (TradesTraining(0.2, beta=3.0, steps=7), 10, 0.85, 0.35),
        (MartTraining(0.2, steps=7), 10, 0.8, 0.3),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_robust_digits(method, epochs, clean, robust):
    trainer = AdversarialTrainer(*digit_net(), method)
    held_out = tc.data.DataLoader(digits(False), 360)
    trainer.fit(tc.data.DataLoader(digits(True), 64, shuffle=True), held_out, epochs=epochs)
    assert trainer.evaluate(held_out).accuracy > clean
    assert robust_accuracy(trainer.model, 0.2) > robust  # plain training: below 0.02


@pytest.mark.slow
def test_certified_digits():
    trainer = AdversarialTrainer(*digit_net(), IntervalTraining(0.1, warmup=100, ramp=500))
    trainer.fit(tc.data.DataLoader(digits(True), 64, shuffle=True), epochs=40)
    x, y = digits(False)[:]
    certain = certified_margin(trainer.model, x, y, 0.1) > 0
    assert certain.mean() > 0.4
    assert not pgd(trainer.model, x, y, eps=0.1, steps=50).success[certain].any()
