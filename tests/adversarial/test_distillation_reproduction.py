"""Defensive distillation stops the attacks of its paper and no other: the claims of tutorial 2."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.nn import functional as F

EPS, PIXELS, EPOCHS = 0.2, 9, 20
TEMPERATURES = (1, 2, 5, 10, 20, 50, 100)
pytestmark = pytest.mark.slow


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def make_optimizer(parameters):
    return tc.optim.Adam(parameters, lr=0.01)


def loader():
    data = tc.datasets.Digits(train=True)
    pairs = tc.data.TensorDataset(tc.as_tensor(data.images), tc.as_tensor(data.targets))
    return tc.data.DataLoader(pairs, batch_size=64, shuffle=True)


@pytest.fixture(scope="module")
def samples():
    data = tc.datasets.Digits(train=False)
    return tc.as_tensor(data.images)[:200], tc.as_tensor(data.targets)[:200]


@pytest.fixture(scope="module")
def plain():
    tc.manual_seed(0)
    model = make_model()
    tc.train.Trainer(model, make_optimizer(model.parameters())).fit(loader(), epochs=EPOCHS)
    return model.eval()


@pytest.fixture(scope="module")
def students():
    made = {}
    for temperature in TEMPERATURES:
        tc.manual_seed(0)
        made[temperature] = adversarial.defensive_distillation(
            make_model, loader(), temperature=temperature, epochs=EPOCHS, common_epochs=1,
            optimizer=make_optimizer,
        ).student.eval()  # fmt: skip
    return made


class AtTemperature(nn.Module):
    def __init__(self, model, temperature):
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, x):
        return self.model(x) / self.temperature


def success(result):
    return result.success[~result.clean_wrong].mean()


def test_accuracy_hardly_suffers(students, samples):
    x, y = samples
    accuracy = [(students[t](x).argmax(1) == y).float().mean().item() for t in TEMPERATURES]
    assert min(accuracy) > 0.92
    assert max(accuracy) - min(accuracy) < 0.05


@pytest.mark.parametrize("attack", ["jsma", "fgsm", "pgd"])
def test_attacks_on_the_softmax_and_the_cross_entropy_fail_with_temperature(
    attack, students, samples
):
    run = {
        "jsma": lambda m: adversarial.jsma(m, *samples, output="softmax", max_pixels=PIXELS),
        "fgsm": lambda m: adversarial.fgsm(m, *samples, eps=EPS),
        "pgd": lambda m: adversarial.pgd(m, *samples, eps=EPS),
    }[attack]
    rates = [success(run(students[t])) for t in TEMPERATURES]
    assert rates[0] > 0.75
    assert max(np.diff(rates)) < 0.1  # a chance more or less; in the paper, too
    middle = rates[TEMPERATURES.index(10)]
    assert rates[0] > middle > rates[-1]
    assert rates[-1] < 0.15


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_attacks_that_no_scale_can_hide_break_every_student(temperature, plain, students, samples):
    (x, y), model = samples, students[temperature]
    cooled = AtTemperature(model, temperature)
    assert success(adversarial.pgd(model, x, y, eps=EPS, loss="margin")) > 0.93
    assert success(adversarial.pgd(cooled, x, y, eps=EPS)) > 0.93
    assert success(adversarial.fgsm(cooled, x, y, eps=EPS)) > 0.75
    assert success(adversarial.jsma(cooled, x, y, output="softmax", max_pixels=PIXELS)) > 0.95
    assert success(adversarial.jsma(model, x, y, max_pixels=PIXELS)) > 0.95
    assert success(adversarial.square(model, x, y, eps=EPS, steps=400)) > 0.85
    images = adversarial.pgd(plain, x, y, eps=EPS, loss="margin", stop="never").x_adv
    right = model(x).argmax(1) == y
    assert (model(images).argmax(1) != y)[right].float().mean().item() > 0.6


def test_carlini_and_wagner_need_no_larger_distance(plain, students, samples):
    x, y = (part[:50] for part in samples)
    middle = {}
    for name, model in {"plain": plain, **students}.items():
        result = adversarial.carlini_wagner(
            model, x, y, steps=100, binary_search_steps=6, lr=0.05, n_target_classes=None
        )
        assert result.success.all()
        middle[name] = np.median(result.norm["l2"][~result.clean_wrong])
    for temperature in TEMPERATURES:
        assert 0.8 < middle[temperature] / middle["plain"] < 1.25


def test_logits_grow_with_the_temperature_and_gradients_vanish(students, samples):
    x, y = samples
    size, dead = [], []
    for temperature in TEMPERATURES:
        clean = x.clone().requires_grad_(True)
        logits = students[temperature](clean)
        F.cross_entropy(logits, y, reduction="sum").backward()
        size.append(logits.abs().mean().item())
        dead.append((clean.grad.reshape(len(x), -1).numpy() == 0).all(1).mean())
    ten = TEMPERATURES.index(10)
    assert min(np.diff(size)) > 0
    assert size[ten] > 5 * size[0]
    assert size[-1] > 5 * size[ten]
    assert dead[0] == 0
    assert dead[ten] < dead[-1]
    assert dead[-1] > 0.7


def test_the_sanity_report_sees_it(plain, students, samples):
    x, y = samples
    report = adversarial.sanity_report(
        students[100], x, y, eps=EPS, substitute=plain, undefended=plain
    )
    assert {
        "gradients_exist", "probabilities_do_not_saturate", "single_step_tells_the_truth",
        "losses_agree", "the_defence_helps", "something_is_left",
    } <= set(report.failures)  # fmt: skip
