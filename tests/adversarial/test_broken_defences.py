"""The sanity report passes a robust network, and fails defences that are broken on purpose."""

from dataclasses import dataclass

import pytest

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.nn import functional as F

EPS = 0.15
pytestmark = pytest.mark.slow


def digits(train, count=None):
    data = tc.datasets.Digits(train=train)
    return tc.as_tensor(data.images)[:count], tc.as_tensor(data.targets)[:count]


def make_model(side=8):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def loader():
    return tc.data.DataLoader(tc.data.TensorDataset(*digits(True)), batch_size=64, shuffle=True)


def fitted(model, epochs=20, **loss):
    def smoothed(logits, target):
        return F.cross_entropy(logits, target, **loss)

    optimizer = tc.optim.Adam(model.parameters(), lr=0.01)
    tc.train.Trainer(model, optimizer, smoothed).fit(loader(), epochs=epochs)
    return model.eval()


@dataclass
class Fixed:
    """What the tests share: a plain network, another one, and pictures to attack."""

    plain: nn.Module
    other: nn.Module
    x: object
    y: object

    def report(self, model):
        report = adversarial.sanity_report(
            model, self.x, self.y, eps=EPS, substitute=self.other, undefended=self.plain
        )
        print(report.table())
        return report


@pytest.fixture(scope="module")
def fixed():
    nets = []
    for seed in (0, 1):
        tc.manual_seed(seed)
        nets.append(fitted(make_model()))
    return Fixed(*nets, *digits(False, 150))


class Scaled(nn.Module):
    """A model whose logits are multiplied by a number."""

    def __init__(self, model, factor):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x):
        return self.model(x) * self.factor


@pytest.mark.parametrize(
    "method",
    [adversarial.PGDTraining(eps=EPS, steps=7), adversarial.FastTraining(eps=EPS)],
    ids=lambda method: method.name,
)
def test_an_adversarially_trained_network_passes(method, fixed):
    tc.manual_seed(0)
    model = fitted(make_model(), epochs=3)
    optimizer = tc.optim.Adam(model.parameters(), lr=3e-3)
    adversarial.AdversarialTrainer(model, optimizer, method).fit(loader(), epochs=20)
    report = fixed.report(model)
    auto = adversarial.auto_attack(model, fixed.x, fixed.y, eps=EPS).robust_accuracy
    print(f"eps {EPS}: clean {report.clean_accuracy:.1%}, AutoAttack {auto:.1%}")
    assert 0.35 < auto <= report.robust_accuracy + 0.02
    assert report.failures == []
    assert report.clean_accuracy > 0.93
    assert 0.4 < report.robust_accuracy < report.clean_accuracy
    statuses = {line.name: line.status for line in report.lines}
    assert statuses["averages_find_no_more"] == "skip"
    assert [name for name, status in statuses.items() if status == "skip"] == [
        "averages_find_no_more"
    ]


def test_scaled_logits_hide_the_cross_entropy(fixed):
    report = fixed.report(Scaled(fixed.plain, 100.0))
    assert {
        "gradients_exist", "probabilities_do_not_saturate", "single_step_tells_the_truth",
        "losses_agree", "the_defence_helps",
    } <= set(report.failures)  # fmt: skip
    assert "scores_find_no_more" not in report.failures  # the margin is seen through


def test_smoothed_labels_only_flatten_the_cross_entropy(fixed):
    tc.manual_seed(0)
    report = fixed.report(fitted(make_model(), label_smoothing=0.3))
    assert {"single_step_tells_the_truth", "losses_agree", "the_defence_helps"} <= set(
        report.failures
    )
    assert "gradients_exist" not in report.failures


def test_a_blur_in_front_adds_nothing(fixed):
    tc.manual_seed(0)
    model = fitted(nn.Sequential(adversarial.GaussianBlur(3, 1.0), make_model()))
    report = fixed.report(model)
    assert report.failures == ["something_is_left", "the_defence_helps"] or report.failures == [
        "the_defence_helps"
    ]


def test_rounding_without_a_gradient(fixed):
    model = nn.Sequential(adversarial.BitDepthReduction(2, bpda=None), fixed.plain).eval()
    report = fixed.report(model)
    assert {
        "gradients_exist", "single_step_tells_the_truth", "unlimited_attack_reaches_chance",
        "scores_find_no_more", "transfer_finds_no_more",
    } <= set(report.failures)  # fmt: skip


def test_rounding_with_a_stand_in_gradient(fixed):
    model = nn.Sequential(adversarial.BitDepthReduction(2), fixed.plain).eval()
    report = fixed.report(model)
    assert "gradients_foretell_the_loss" in report.failures
    assert "gradients_exist" not in report.failures


@pytest.mark.parametrize("kind", ["noise", "resize"])
def test_randomness_blinds_single_gradients(fixed, kind):
    tc.manual_seed(0)
    if kind == "noise":
        model = nn.Sequential(adversarial.AdditiveNoise(0.3), make_model())
    else:
        model = nn.Sequential(adversarial.RandomResizePad(10, 7), make_model(10))
    report = fixed.report(fitted(model))
    assert {
        "output_is_deterministic", "gradients_foretell_the_loss", "averages_find_no_more",
        "iterative_beats_single_step",
    } <= set(report.failures)  # fmt: skip
