"""Defensive distillation: what is minimised at which temperature, and where gradients go."""

import os
import signal

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import defensive_distillation, distill, fgsm, pgd
from tinyconv.errors import ArgumentError
from tinyconv.nn import functional as F
from tinyconv.train import Trainer


def data(count=120):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, count)
    x = rng.uniform(0, 0.4, (count, 8))
    x[np.arange(count), y] += 0.5
    return tc.data.TensorDataset(tc.tensor(x.astype(np.float32)), tc.tensor(y))


def loader(size=30):
    return tc.data.DataLoader(data(), size, shuffle=True)


def make_model():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def sgd(parameters):
    return tc.optim.SGD(parameters, lr=1.0)


@pytest.mark.parametrize("temperature", [1.0, 7.0])
def test_one_step_follows_the_soft_cross_entropy_without_squared_temperature(temperature):
    tc.manual_seed(0)
    teacher, student = nn.Linear(8, 3), nn.Linear(8, 3)
    x, _ = data()[:]
    before = student.weight.numpy(force=True).copy()
    s, t = (m(x).numpy(force=True).astype(np.float64) / temperature for m in (student, teacher))
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (s, t))
    slope = (p - q).T @ x.numpy() / temperature / len(x)
    distill(
        teacher, student, tc.data.DataLoader(data(), 120), temperature=temperature, epochs=1,
        optimizer=sgd, num_classes=3,
    )  # fmt: skip
    np.testing.assert_allclose(
        student.weight.numpy(force=True), before - slope, rtol=1e-4, atol=1e-6
    )


def test_teacher_is_trained_at_the_temperature_and_both_are_tested_without():
    tc.manual_seed(0)
    made = defensive_distillation(
        make_model, loader(), temperature=10.0, epochs=40,
        validation=tc.data.DataLoader(data(), 120),
        optimizer=lambda p: tc.optim.Adam(p, lr=0.05), num_classes=3,
    )  # fmt: skip
    x, y = data()[:]
    logits = made.teacher.eval()(x)
    at_temperature = F.cross_entropy(logits / 10, y).item()
    assert made.teacher_history.column("loss")[-1] == pytest.approx(at_temperature, abs=0.1)
    for model, history in ((made.teacher, made.teacher_history),
                           (made.student, made.student_history)):  # fmt: skip
        assert len(history) == 40
        assert history.column("val_loss")[-1] == pytest.approx(
            F.cross_entropy(model.eval()(x), y).item(), rel=1e-4, abs=1e-6
        )
        assert history.column("val_accuracy")[-1] > 0.95


def test_logits_grow_and_the_cross_entropy_hides_its_gradient_but_the_margin_does_not():
    tc.manual_seed(0)
    fast = lambda p: tc.optim.Adam(p, lr=0.05)  # noqa: E731
    plain = make_model()
    Trainer(plain, fast(plain.parameters()), num_classes=3).fit(loader(), epochs=40)
    made = defensive_distillation(
        make_model, loader(), temperature=50.0, epochs=40, optimizer=fast, num_classes=3,
        common_epochs=1,
    )  # fmt: skip
    x, y = data()[:]

    def size(model):
        return model.eval()(x).abs().mean().item()

    assert size(made.student) > 8 * size(plain)
    right = made.student(x).argmax(1) == y
    x, y = x[right], y[right]
    by_cross_entropy = fgsm(made.student, x, y, eps=0.3)
    by_margin = pgd(made.student, x, y, eps=0.3, loss="margin", steps=20)
    assert by_margin.success.mean() > 0.9
    assert by_cross_entropy.success.mean() < 0.5 * by_margin.success.mean()


def test_common_start():
    models = []

    def make():
        models.append(make_model())
        return models[-1]

    tc.manual_seed(0)
    still = lambda p: tc.optim.SGD(p, lr=0.0)  # noqa: E731
    defensive_distillation(
        make, loader(), temperature=5, epochs=1, optimizer=still, common_epochs=1, num_classes=3
    )
    assert len(models) == 3
    for a, b, c in zip(*(model.parameters() for model in models), strict=True):
        assert np.array_equal(a.numpy(force=True), b.numpy(force=True))
        assert np.array_equal(a.numpy(force=True), c.numpy(force=True))


def test_ctrl_c_in_the_teacher_ends_it_all():
    class Stops(nn.Linear):
        def forward(self, x):
            os.kill(os.getpid(), signal.SIGINT)
            return super().forward(x)

    made = defensive_distillation(
        lambda: Stops(8, 3), loader(), temperature=5, epochs=3, num_classes=3
    )
    assert len(made.teacher_history) == 0
    assert len(made.student_history) == 0


def test_bad_temperature():
    for call in (
        lambda: distill(make_model(), make_model(), loader(), temperature=0, epochs=1),
        lambda: defensive_distillation(make_model, loader(), temperature=-1, epochs=1),
    ):
        with pytest.raises(ArgumentError, match="temperature"):
            call()
