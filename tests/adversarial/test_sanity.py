"""The sanity report: each question can be answered both ways, and the answers can be read."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import BPDA, AdditiveNoise, BitDepthReduction, sanity_report
from tinyconv.errors import ArgumentError

CHECKLIST = vars(sys.modules[sanity_report.__module__])["CHECKLIST"]
CHECKS = {check.__name__: check for group in CHECKLIST.values() for check in group}
N = 100


class Fake:
    """Evidence of an honest, robust model, but for what a test says."""

    def __init__(self, **changes):
        none, half = fallen(0), fallen(50)
        honest = {
            "accuracy": 1.0, "classes": 10, "tolerance": 0.02 + 1e-9, "x": tc.zeros(N, 1, 4, 4),
            "logits": 5 * tc.eye(10)[:5], "repeated_logits": 5 * tc.eye(10)[:5],
            "slopes": tc.ones(N, 1, 4, 4), "right": ~none.success, "certain": none.success,
            "spread": np.full(N, 5.0), "slope_errors": none.success,
            "single_step": fallen(40), "iterative": half, "more_steps": half,
            "few_restarts": half, "more_restarts": half, "other_losses": [half, half],
            "towards_targets": half, "averaged": half, "wider": fallen(90),
            "unlimited": fallen(100), "scores": half, "labels": half.success, "random": none,
            "moved": none, "noisy_accuracy": 1.0, "white_box": half.success,
            "worst": half.success, "substitute": None, "undefended": None,
            "transferred": lambda model: half.success, "worst_of": lambda model: 0.1,
        }  # fmt: skip
        self.__dict__.update({**honest, **changes})

    def __len__(self):
        return N


def fallen(count, **more):
    """Return the result of an attack to which the first ``count`` samples fall."""
    success = np.arange(N) < count
    return SimpleNamespace(
        success=success, clean_wrong=np.zeros(N, bool), success_uint8=success, **more
    )


def share(count):
    return np.arange(N) < count


def blind(count):
    slopes = tc.ones(N, 1, 4, 4)
    slopes[:count] = 0
    return slopes


RANDOM = {"repeated_logits": tc.eye(10)[:5]}
ROUNDED = fallen(50)
ROUNDED.success_uint8 = share(40)
NAN = tc.ones(N, 1, 4, 4)
NAN[:10, 0, 0, 0] = float("nan")

# Name, what just passes, what just does not, and what that is called.
BORDERS = [
    ("clean_accuracy", {"accuracy": 0.16}, {"accuracy": 0.15}, "fail"),
    ("output_is_deterministic", {}, RANDOM, "fail"),
    ("output_is_logits", {}, {"logits": tc.full((5, 10), 0.1)}, "fail"),
    ("gradients_exist", {"slopes": blind(5)}, {"slopes": blind(6)}, "fail"),
    ("gradients_exist", {"slopes": NAN, "right": share(100) & ~share(10)}, {"slopes": NAN}, "fail"),
    ("probabilities_do_not_saturate", {"certain": share(5)}, {"certain": share(6)}, "fail"),
    ("logits_have_a_usual_scale", {"spread": np.full(N, 49.0)}, {"spread": np.full(N, 50.0)},
     "warn"),
    ("gradients_foretell_the_loss", {"slope_errors": share(20)}, {"slope_errors": share(21)},
     "fail"),
    ("iterative_beats_single_step", {"single_step": fallen(52)}, {"single_step": fallen(53)},
     "fail"),
    ("single_step_tells_the_truth", {"worst": share(65)}, {"worst": share(66)}, "fail"),
    ("more_steps_change_nothing", {"more_steps": fallen(52)}, {"more_steps": fallen(53)}, "warn"),
    ("more_restarts_change_nothing", {"more_restarts": fallen(52)}, {"more_restarts": fallen(53)},
     "warn"),
    ("larger_radius_is_stronger", {"wider": fallen(53)}, {"wider": fallen(52)}, "fail"),
    ("larger_radius_is_stronger", {"wider": fallen(98), "iterative": fallen(98)},
     {"wider": fallen(97), "iterative": fallen(97)}, "fail"),
    ("unlimited_attack_reaches_chance", {"unlimited": fallen(88)}, {"unlimited": fallen(87)},
     "fail"),
    ("losses_agree", {"other_losses": [fallen(60)]}, {"other_losses": [fallen(61)]}, "fail"),
    ("scores_find_no_more", {"scores": fallen(52)}, {"scores": fallen(53)}, "fail"),
    ("labels_find_no_more", {"labels": share(52)}, {"labels": share(53)}, "fail"),
    ("noise_finds_no_more", {"random": fallen(52)}, {"random": fallen(53)}, "fail"),
    ("targets_find_no_more", {"towards_targets": fallen(55)}, {"towards_targets": fallen(56)},
     "warn"),
    ("transfer_finds_no_more", {"substitute": 1, "transferred": lambda _: share(52)},
     {"substitute": 1, "transferred": lambda _: share(53)}, "fail"),
    ("averages_find_no_more", {**RANDOM, "averaged": fallen(52)},
     {**RANDOM, "averaged": fallen(53)}, "fail"),
    ("the_defence_helps", {"undefended": 1, "worst_of": lambda _: 0.47},
     {"undefended": 1, "worst_of": lambda _: 0.49}, "fail"),
    ("something_is_left", {"worst": share(89)}, {"worst": share(90)}, "fail"),
    ("successes_survive_a_file", {}, {"more_restarts": ROUNDED}, "warn"),
    ("small_movements_are_harmless", {"moved": fallen(50)}, {"moved": fallen(51)}, "warn"),
    ("noise_is_harmless", {"noisy_accuracy": 0.5}, {"noisy_accuracy": 0.49}, "warn"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "good", "bad", "status"), BORDERS)
def test_where_a_check_passes_and_where_not(name, good, bad, status):
    assert CHECKS[name](Fake(**good))[0] == "pass"
    verdict = CHECKS[name](Fake(**bad))
    assert verdict[0] == status
    assert verdict[1]
    assert verdict[2]


def test_every_check_is_tried_both_ways():
    assert {name for name, *_ in BORDERS} == set(CHECKS)


@pytest.mark.parametrize(
    ("name", "given"),
    [("scores_find_no_more", {"scores": None}), ("labels_find_no_more", {"labels": None}),
     ("transfer_finds_no_more", {}), ("averages_find_no_more", {}), ("the_defence_helps", {}),
     ("successes_survive_a_file", {"more_restarts": fallen(0)}),
     ("small_movements_are_harmless", {"x": tc.zeros(N, 4)})],
)  # fmt: skip
def test_what_cannot_be_asked_is_skipped(name, given):
    status, figure, _ = CHECKS[name](Fake(**given))
    assert status == "skip"
    assert figure


# -- whole reports on tiny models ------------------------------------------------------------------

EPS = 0.1


def images(count=24):
    """Three classes of 4 x 4 images: bright in the middle, at the edge, or nowhere."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    x = rng.uniform(0.15, 0.25, (count, 1, 4, 4))
    middle = np.zeros((4, 4), bool)
    middle[1:3, 1:3] = True
    strength = rng.uniform(0.15, 0.7, (count, 1, 1, 1))  # weak ones fall within the radius
    x += strength * (
        (y == 0)[:, None, None, None] * middle + (y == 1)[:, None, None, None] * ~middle
    )
    return tc.tensor(x.astype(np.float32)), tc.tensor(y)


def make_model(factor=20.0):
    """Return the linear model that knows the classes."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    middle = np.zeros((4, 4), np.float32)
    middle[1:3, 1:3] = 0.25
    edge = (middle == 0) / np.float32(12)
    weight = np.stack([middle.ravel(), edge.ravel(), 0 * edge.ravel()])
    with tc.no_grad():
        model[1].weight.copy_(tc.tensor(factor * weight))
        model[1].bias.copy_(tc.tensor(np.float32([0, 0, 0.27 * factor])))
    return model


def report_of(model, **arguments):
    return sanity_report(model, *images(), eps=EPS, **arguments)


@pytest.fixture(scope="module")
def honest():
    return report_of(make_model(), substitute=make_model(5.0))


def test_an_honest_model_passes(honest):
    assert honest.failures == []
    assert honest.passed
    assert honest.clean_accuracy == 1
    assert 0.4 < honest.robust_accuracy < 1


def test_robust_accuracy_is_that_of_theory(honest):
    x, y = images()
    z = make_model()[1].weight.detach().numpy()
    logits = make_model()(x).detach().numpy()
    standing = []
    for row, label in zip(logits, y.tolist(), strict=True):
        margins = [
            row[label] - row[k] - EPS * np.abs(z[label] - z[k]).sum()
            for k in range(3)
            if k != label
        ]
        standing.append(min(margins) > 0)
    assert honest.robust_accuracy == pytest.approx(np.mean(standing))


def test_the_lines_are_those_of_the_checklist_in_order(honest):
    assert [line.name for line in honest.lines] == list(CHECKS)
    assert [line.group for line in honest.lines] == [
        group for group, checks in CHECKLIST.items() for _ in checks
    ]
    for line in honest.lines:
        assert line.question
        assert not line.question.endswith(".")
        assert line.figure


def test_table_and_markdown_say_all(honest):
    table, markdown = honest.table(), honest.markdown()
    assert table.startswith("sanity report: norm linf, eps 0.1, samples 24, effort quick, seed 0")
    assert f"robust accuracy {honest.robust_accuracy:.1%}" in table
    for line in honest.lines:
        assert f"  {line.status:4}  {line.question}\n        {line.figure}" in table
        row = f"| {line.status} | {line.question} | {line.figure} | {line.advice} |"
        assert row in markdown.splitlines()
    for group in CHECKLIST:
        assert f"\n{group}\n" in table
    assert len(markdown.splitlines()) == 2 + len(honest.lines)


def test_the_same_seed_gives_the_same_report(honest):
    assert report_of(make_model(), substitute=make_model(5.0)) == honest


class Scaled(nn.Module):
    def __init__(self, model, factor):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x):
        return self.model(x) * self.factor


class Softmax(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).softmax(1)


def backwards():
    return BPDA(lambda x: x, lambda x: -x)


BROKEN = [
    ("scaled", lambda: Scaled(make_model(), 1000.0),
     {"gradients_exist", "probabilities_do_not_saturate", "losses_agree"}),
    ("softmax", lambda: Softmax(make_model()), {"output_is_logits"}),
    ("rounded", lambda: nn.Sequential(BitDepthReduction(3, bpda=None), make_model()),
     {"gradients_exist", "scores_find_no_more", "unlimited_attack_reaches_chance"}),
    ("backwards", lambda: nn.Sequential(backwards(), make_model()),
     {"gradients_foretell_the_loss", "scores_find_no_more", "unlimited_attack_reaches_chance"}),
    ("random", lambda: nn.Sequential(AdditiveNoise(0.5), make_model()),
     {"output_is_deterministic", "gradients_foretell_the_loss"}),
]  # fmt: skip


@pytest.mark.parametrize(("make", "reasons"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN])
def test_a_broken_model_fails_for_its_reason(make, reasons):
    report = report_of(make())
    assert not report.passed
    assert reasons <= set(report.failures), report.table()


def test_a_model_without_any_gradient_is_reported_not_raised():
    def model(x):
        return make_model()(x.detach()).detach()

    report = report_of(model)
    assert report.failures[0] == "gradients_exist"
    statuses = {line.name: line.status for line in report.lines}
    assert statuses["losses_agree"] == "skip"
    assert 0 < report.robust_accuracy < 1  # Square and HopSkipJump need no gradient


def test_the_same_model_is_no_defence():
    model = make_model()
    report = report_of(model, undefended=model)
    assert "the_defence_helps" in report.failures


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_other_norms(norm):
    report = sanity_report(make_model(), *images(), eps=0.3 if norm == "l2" else 0.9, norm=norm)
    assert report.failures == []
    skipped = {line.name for line in report.lines if line.status == "skip"}
    assert ({"scores_find_no_more", "labels_find_no_more"} <= skipped) == (norm == "l1")


def test_the_model_and_the_random_numbers_are_left_alone():
    model = nn.Sequential(nn.BatchNorm2d(1), make_model()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tc.manual_seed(3)
    expected = tc.rand(4).tolist()
    tc.manual_seed(3)
    report_of(model)
    assert tc.rand(4).tolist() == expected
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    for name, value in model.state_dict().items():
        assert np.array_equal(value.numpy(), before[name].numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"eps": 0}, "eps"), ({"eps": -1.0}, "eps"), ({"eps": float("inf")}, "eps"),
     ({"effort": "much"}, "effort.*'quick', 'full'"), ({"norm": "l0"}, "norm"),
     ({"norm": "l3"}, "norm")],
)  # fmt: skip
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        sanity_report(make_model(), *images(), **{"eps": EPS, **arguments})


def test_no_samples():
    x, y = images()
    with pytest.raises(ArgumentError, match="at least one sample"):
        sanity_report(make_model(), x[:0], y[:0], eps=EPS)
