"""The loop: learning, exact resume, stopping between steps, and what goes wrong."""

import os
import signal

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import config
from tinyconv.errors import AnomalyError, ArgumentError, ShapeError
from tinyconv.train import History, Trainer
from tinyconv.train.interrupt import StopSignal


def data(count=50):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, count)
    images = rng.normal(size=(count, 1, 6, 6)) * 0.3
    images[np.arange(count), 0, target, target] += 3.0
    return tc.data.TensorDataset(
        tc.from_numpy(images.astype(np.float32)), tc.from_numpy(target.astype(np.int64))
    )


def make(batch_size=8, lr=0.01, **options):
    tc.manual_seed(7)
    model = tc.nn.Sequential(
        tc.nn.Conv2d(1, 4, 3), tc.nn.BatchNorm2d(4), tc.nn.ReLU(), tc.nn.Dropout(0.2),
        tc.nn.Flatten(), tc.nn.Linear(64, 3),
    )  # fmt: skip
    optimizer = tc.optim.Adam(model.parameters(), lr=lr)
    scheduler = tc.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
    trainer = Trainer(model, optimizer, scheduler=scheduler, num_classes=3, **options)
    return trainer, tc.data.DataLoader(data(), batch_size, shuffle=True)


def weights(trainer):
    return {k: v.numpy().copy() for k, v in trainer.model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.mark.parametrize("validated", [False, True])
def test_a_plateau_is_seen_in_the_loss_of_validation_or_training(validated):
    trainer, loader = make()
    plateau = tc.optim.lr_scheduler.ReduceLROnPlateau
    trainer.scheduler = plateau(trainer.optimizer, factor=0.5, patience=0, threshold=1e9)
    held = tc.data.DataLoader(data(), 50) if validated else None
    trainer.fit(loader, held, epochs=3)
    row = trainer.history.rows[0]
    assert trainer.scheduler.best == row["val_loss" if validated else "loss"]
    assert trainer.history.column("lr") == [0.01, 0.01, 0.005]  # no epoch counts as better


def test_learns_and_reports():
    trainer, loader = make()
    history = trainer.fit(loader, tc.data.DataLoader(data(), 50), epochs=4)
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
    assert history.column("loss")[-1] < history.column("loss")[0]
    assert history.column("val_accuracy")[-1] > 0.9
    assert history.column("lr") == pytest.approx([0.01 * 0.9**i for i in range(4)])
    assert trainer.model.training


def test_evaluate_is_the_mean_over_samples_and_changes_nothing():
    trainer, _ = make()
    before = weights(trainer)
    whole = trainer.evaluate(tc.data.DataLoader(data(), 50))
    parts = trainer.evaluate(tc.data.DataLoader(data(), 7))
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    np.testing.assert_array_equal(parts.confusion.counts, whole.confusion.counts)
    assert_same(before, weights(trainer))


@pytest.mark.parametrize("fails", [False, True])
def test_evaluate_leaves_each_module_in_its_own_mode(fails):
    trainer, _ = make()
    trainer.model.train()
    trainer.model[1].eval()  # a norm that is kept as it is, as in transfer learning
    before = [module.training for module in trainer.model.modules()]
    seen = []
    trainer.model[3].register_forward_hook(
        lambda *_: seen.append([m.training for m in trainer.model.modules()])
    )
    images = tc.zeros(4, 2 if fails else 1, 6, 6)
    loader = tc.data.DataLoader(tc.data.TensorDataset(images, tc.tensor([0, 1, 2, 0])), 4)
    if fails:
        with pytest.raises(ShapeError):
            trainer.evaluate(loader)
    else:
        trainer.evaluate(loader)
        assert not any(seen[0])
    assert [module.training for module in trainer.model.modules()] == before


class StopAfter:
    """Loss that asks to stop, as Ctrl-C does, at a given step."""

    def __init__(self, step):
        self.left = step

    def __call__(self, logits, target):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return tc.nn.functional.cross_entropy(logits, target)


@pytest.mark.parametrize("step", [1, 5, 7, 10, 14])
def test_resume_anywhere_gives_the_same_bits(step, tmp_path):
    straight, loader = make()
    straight.fit(loader, epochs=3)

    stopped, loader = make()
    stopped.loss = StopAfter(step)
    stopped.fit(loader, epochs=3)
    assert stopped.interrupted
    tc.save(stopped.state_dict(loader), tmp_path / "state.safetensors")

    resumed, loader = make()
    tc.manual_seed(99)  # the state brings the right one back
    resumed.load_state_dict(tc.load(tmp_path / "state.safetensors"), loader)
    resumed.fit(loader, epochs=3)
    assert_same(weights(straight), weights(resumed))
    for key in ("loss", "accuracy", "lr"):
        assert straight.history.column(key) == resumed.history.column(key)


def test_caps(monkeypatch):
    trainer, loader = make()
    steps = []
    trainer.loss = lambda logits, target: (
        steps.append(1), tc.nn.functional.cross_entropy(logits, target)
    )[1]  # fmt: skip
    with config.override(max_epochs=2, max_steps=3):
        assert len(trainer.fit(loader, epochs=10)) == 2
    assert len(steps) == 6


def test_nan_loss_stops_before_the_step():
    trainer, loader = make()
    before = weights(trainer)
    trainer.loss = lambda logits, target: logits.sum() * float("nan")
    with pytest.raises(AnomalyError, match=r"loss became nan in epoch 1, step 1.*learning rate"):
        trainer.fit(loader, epochs=1)
    after = weights(trainer)
    for key in before:
        if "running" not in key and "num_batches" not in key:
            np.testing.assert_array_equal(before[key], after[key])


def test_second_ctrl_c_is_immediate_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_history_file(tmp_path):
    path = tmp_path / "history.csv"
    History([{"epoch": 1, "loss": 0.123456789}, {"epoch": 2, "loss": 0.1}]).save(path)
    assert path.read_text().split() == ["epoch,loss", "1,0.123457", "2,0.1"]
    History().save(path)
    assert path.read_text().split() == ["epoch"]


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", tc.bfloat16), ("fp16", tc.float16)])
def test_lower_precision_learns_and_resumes_with_the_same_bits(precision, dtype, tmp_path):
    def made():
        trainer, loader = make(precision=precision)
        trainer.scaler.set_growth_interval(5)
        return trainer, loader

    seen = []
    straight, loader = made()
    straight.loss = lambda logits, target: (
        seen.append((logits.dtype, tc.nn.functional.cross_entropy(logits, target).dtype)),
        tc.nn.functional.cross_entropy(logits, target),
    )[1]
    straight.fit(loader, tc.data.DataLoader(data(), 50), epochs=4)
    assert set(seen) == {(dtype, tc.float32)}
    assert straight.history.column("val_accuracy")[-1] > 0.9
    assert {p.dtype for p in straight.model.parameters()} == {tc.float32}
    assert straight.scaler.is_enabled() == (precision == "fp16")

    stopped, loader = made()
    stopped.loss = StopAfter(9)
    stopped.fit(loader, epochs=4)
    tc.save(stopped.state_dict(loader), tmp_path / "state.safetensors")
    resumed, loader = make(precision=precision)
    resumed.load_state_dict(tc.load(tmp_path / "state.safetensors"), loader)
    resumed.fit(loader, epochs=4)
    assert_same(weights(straight), weights(resumed))
    assert resumed.scaler.state_dict() == straight.scaler.state_dict()
    if precision == "fp16":
        assert straight.scaler.get_scale() > 2.0**16


def test_a_step_that_overflows_in_float16_is_left_out():
    trainer, loader = make(precision="fp16")
    trainer.scaler.load_state_dict({**trainer.scaler.state_dict(), "scale": 2.0**120})
    before = weights(trainer)
    images, target = next(iter(loader))
    trainer.model.train()
    trainer._update(images, target)
    after = weights(trainer)
    for key in before:
        if "running" not in key and "num_batches" not in key:
            np.testing.assert_array_equal(before[key], after[key])
    assert trainer.scaler.get_scale() == 2.0**119


def test_precision_is_checked_and_old_states_load():
    with pytest.raises(ArgumentError, match="one of fp32, bf16, fp16, got 'half'"):
        make(precision="half")
    trainer, loader = make()
    state = trainer.state_dict(loader)
    assert state["scaler"] == {}
    del state["scaler"]
    trainer.load_state_dict(state, loader)
