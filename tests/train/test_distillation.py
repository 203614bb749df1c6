"""Knowledge distillation: the loss by its formula and its limits, and the loop."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError
from tinyconv.nn import functional as F
from tinyconv.train import DistillationTrainer, distillation_loss


def scores(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 4)) * 3, rng.normal(size=(5, 4)) * 3, rng.integers(0, 4, 5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_loss_by_its_formula(temperature, alpha):
    s, t, y = scores()
    p, log_p = softmax(t / temperature, 1), log_softmax(t / temperature, 1)
    divergence = (p * (log_p - log_softmax(s / temperature, 1))).sum(1).mean()
    hard = -log_softmax(s, 1)[np.arange(5), y].mean()
    expected = alpha * hard + (1 - alpha) * temperature**2 * divergence
    found = distillation_loss(
        tc.tensor(s), tc.tensor(t), tc.tensor(y), temperature=temperature, alpha=alpha
    )
    assert found.item() == pytest.approx(expected, rel=1e-10)


def gradient(s, t, y, **options):
    student = tc.tensor(s, requires_grad=True)
    distillation_loss(student, tc.tensor(t), tc.tensor(y), **options).backward()
    return student.grad.numpy()


def test_gradient_is_temperature_times_the_difference_of_probabilities():
    s, t, y = scores()
    expected = 3.0 * (softmax(s / 3, 1) - softmax(t / 3, 1)) / 5
    np.testing.assert_allclose(gradient(s, t, y, temperature=3.0, alpha=0.0), expected, atol=1e-12)


def test_at_a_high_temperature_it_is_the_squared_error_of_centred_scores():
    s, t, y = scores()
    difference = (s - s.mean(1, keepdims=True)) - (t - t.mean(1, keepdims=True))
    found = gradient(s, t, y, temperature=1e4, alpha=0.0)
    np.testing.assert_allclose(found, difference / 4 / 5, atol=1e-4)


def test_a_certain_teacher_at_temperature_one_is_cross_entropy():
    s, _, y = scores()
    certain = np.full((5, 4), -60.0)
    certain[np.arange(5), y] = 60.0
    loss = distillation_loss(tc.tensor(s), tc.tensor(certain), tc.tensor(y), temperature=1, alpha=0)
    assert loss.item() == pytest.approx(F.cross_entropy(tc.tensor(s), tc.tensor(y)).item())


def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    x = rng.normal(size=(60, 6)) * 0.5
    x[np.arange(60), y] += 2.0
    return tc.data.TensorDataset(tc.tensor(x.astype(np.float32)), tc.tensor(y))


def make(loss=None, **options):
    tc.manual_seed(1)
    teacher = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    student = nn.Linear(6, 3)
    optimizer = tc.optim.Adam(student.parameters(), lr=0.05)
    trainer = DistillationTrainer(student, optimizer, teacher, loss=loss, num_classes=3, **options)
    return trainer, tc.data.DataLoader(data(), 16, shuffle=True)


def test_student_comes_to_agree_with_the_teacher_which_stays_as_it_was():
    trainer, loader = make(temperature=2.0, alpha=0.0)
    before = {k: v.numpy().copy() for k, v in trainer.teacher.state_dict().items()}
    trainer.teacher[1].eval()
    history = trainer.fit(loader, tc.data.DataLoader(data(), 60), epochs=30)
    assert history.column("loss")[-1] < 0.2 * history.column("loss")[0]
    for name, value in trainer.teacher.state_dict().items():
        assert np.array_equal(before[name], value.numpy()), name
    assert [m.training for m in trainer.teacher.modules()] == [True, True, False, True, True]
    assert all(p.grad is None for p in trainer.teacher.parameters())
    x, _ = data()[:]
    agree = trainer.model(x).argmax(1) == trainer.teacher.eval()(x).argmax(1)
    assert agree.double().mean() > 0.85


def test_validation_loss_is_plain_cross_entropy():
    trainer, loader = make(temperature=5.0)
    row = trainer.fit(loader, tc.data.DataLoader(data(), 60), epochs=1).rows[0]
    x, y = data()[:]
    assert row["val_loss"] == pytest.approx(F.cross_entropy(trainer.model(x), y).item(), rel=1e-5)


def test_own_loss_gets_student_teacher_and_target():
    seen = []

    def loss(student, teacher, target):
        seen.append((student.requires_grad, teacher.requires_grad, len(target)))
        return F.mse_loss(student, teacher)

    trainer, loader = make(loss)
    trainer.fit(loader, epochs=1)
    assert seen == [(True, False, 16)] * 3 + [(True, False, 12)]


def test_bad_arguments_are_named():
    s, t, y = map(tc.tensor, scores())
    with pytest.raises(ArgumentError, match="distillation_loss: argument 'alpha' must be from 0"):
        distillation_loss(s, t, y, alpha=2)
    with pytest.raises(ArgumentError, match="DistillationTrainer: argument 'alpha' must be from 0"):
        make(alpha=-0.5)
    with pytest.raises(ArgumentError, match=r"DistillationTrainer.*temperature"):
        make(temperature=0)
