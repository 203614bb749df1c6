"""What holds for every attack, on models, images, radii and bounds that are drawn."""

from dataclasses import dataclass
from inspect import isfunction, signature

import numpy as np
import pytest
from attack_cases import CASES, AttackCase, images, predictions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tinyconv as tc
from tinyconv import adversarial, nn

NORMS = [
    pytest.param(case, norm, id=f"{case.name}-{norm}") for case in CASES for norm in case.norms
]
#: A smaller failure would take minutes to find, and kernels are compiled where a model is made.
few = settings(
    deadline=None, max_examples=2, phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
#: Every attack that is to exist, by its name.
NAMES = [
    "fgsm", "bim", "pgd", "mi_fgsm", "ni_fgsm", "di_fgsm", "ti_fgsm", "apgd", "deepfool",
    "carlini_wagner", "ead", "fmn", "fab", "jsma", "one_pixel", "square", "spsa", "zoo", "boundary",
    "hop_skip_jump", "spatial", "universal", "patch", "auto_attack", "noise",
]  # fmt: skip


def test_every_attack_has_a_case_and_the_common_head():
    attacks = {
        name
        for name in adversarial.__all__
        if isfunction(getattr(adversarial, name))
        and {"model", "x", "y", "bounds", "seed"}
        <= set(signature(getattr(adversarial, name)).parameters)
    }
    attacks -= {"sandwich", "sanity_report"}
    assert attacks == set(NAMES) == {case.name for case in CASES}
    for name in NAMES:
        parameters = signature(getattr(adversarial, name)).parameters
        assert [*parameters][:3] == ["model", "x", "y"]
        assert all(p.kind is p.KEYWORD_ONLY for p in [*parameters.values()][3:])
        assert parameters["bounds"].default == (0, 1)
        assert parameters["seed"].default == 0
        # DeepFool and AutoAttack leave a class, and are never towards one.
        assert ("targeted" in parameters) == (name not in ("deepfool", "auto_attack"))
        assert {"index", "batch_size", "model_mode", "mask"} <= set(parameters)


class Stretched(nn.Module):
    """A model of values from 0 to 1 for images within other bounds."""

    def __init__(self, model, bounds):
        super().__init__()
        self.model, self.low, self.span = model, bounds[0], bounds[1] - bounds[0]

    def forward(self, x):
        return self.model((x - self.low) / self.span)


def make_net(kind, classes, seed):
    """Return a model of images of 4 x 4 pixels, in eval mode."""
    tc.manual_seed(seed)
    layers = {
        "linear": [nn.Flatten(), nn.Linear(16, classes)],
        "relu": [nn.Flatten(), nn.Linear(16, 10), nn.ReLU(), nn.Linear(10, classes)],
        "conv": [
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(16, classes),
        ],
    }  # fmt: skip
    net = nn.Sequential(*layers[kind])
    for parameter in net.parameters():
        parameter.data.mul_(2.0)
    return net.eval()


@dataclass
class Drawn:
    """A model and what it is attacked with."""

    net: nn.Module
    x: object
    y: object
    span: float
    arguments: dict

    def run(self, case: AttackCase, norm: str, rows=None, **changes):
        """Attack the samples ``rows`` (default: all)."""
        rows = np.arange(len(self.x)) if rows is None else rows
        chosen = tc.as_tensor(rows)
        arguments = {**self.arguments, "index": rows, **changes}
        return case.run(self.net, self.x[chosen], self.y[chosen], norm, **arguments)


@st.composite
def draws(draw, case: AttackCase) -> Drawn:
    classes, seed = draw(st.integers(2, 6)), draw(st.integers(0, 999))
    low, high = draw(st.sampled_from([(0, 1), (-1, 3)]))
    span = float(high - low)
    x = images(draw(st.integers(1, 5)), seed) * span + low
    net = Stretched(make_net(draw(st.sampled_from(["linear", "relu", "conv"])), classes, seed),
                    (low, high))  # fmt: skip
    if draw(st.booleans()):
        net, x = net.double(), x.double()
    arguments = {"bounds": (low, high), "seed": draw(st.integers(0, 99))}
    y = predictions(net, x)
    if case.targeted and draw(st.booleans()):
        arguments["targeted"], y = True, (y + 1) % classes
    if draw(st.booleans()):
        y[0] = (y[0] + 1) % classes
    if case.within is not None:
        pixels = st.integers(1, 5)
        arguments["eps"] = draw(st.floats(0, 0.5 * span) if case.radius == "eps" else pixels)
    return Drawn(net, x, y, span, arguments)


@few
@given(data=st.data())
@pytest.mark.parametrize(("case", "norm"), NORMS)
def test_images_are_feasible_and_success_is_true(case, norm, data):
    drawn = data.draw(draws(case))
    result = drawn.run(case, norm)
    x, found = drawn.x.numpy(), result.x_adv.numpy(force=True)
    assert found.dtype == x.dtype
    low, high = drawn.arguments["bounds"]
    assert (found >= low).all()  # NaN neither
    assert (found <= high).all()
    change = np.abs(found.astype(np.float64) - x).reshape(len(x), -1)
    sizes = {
        "linf": change.max(1), "l2": np.linalg.norm(change, axis=1), "l1": change.sum(1),
        "l0": (change > 0).sum(1),
    }  # fmt: skip
    for name, size in sizes.items():
        assert np.allclose(result.norm[name], size, rtol=1e-5)
    if case.within is not None:
        assert (sizes[norm] <= drawn.arguments["eps"] + 1e-6 * drawn.span).all()
    elif case.least:
        assert not change[~result.success].any()
    y, logits = drawn.y.numpy(), drawn.net(result.x_adv).numpy(force=True)
    rows = np.arange(len(y))
    others = logits.copy()
    others[rows, y] = -np.inf
    margin = logits[rows, y] - others.max(1)
    reached = margin > 0 if drawn.arguments.get("targeted") else margin < 0
    near = np.abs(margin) < 1e-5  # a fresh pass may round otherwise
    assert ((result.success == reached) | near).all()
    assert not change[result.clean_wrong].any()
    assert result.success[result.clean_wrong].all()


@few
@given(data=st.data())
@pytest.mark.parametrize(("case", "norm"), NORMS)
def test_neither_batch_nor_order_nor_a_second_run_changes_a_bit(case, norm, data):
    drawn = data.draw(draws(case))
    whole = drawn.run(case, norm)
    again = drawn.run(case, norm)
    assert np.array_equal(whole.x_adv.numpy(), again.x_adv.numpy())
    if case.coupled:
        return
    order = data.draw(st.permutations(range(len(drawn.x))))
    size = data.draw(st.integers(1, len(drawn.x)))
    mixed = drawn.run(case, norm, rows=np.array(order), batch_size=size)
    if drawn.x.dtype == tc.float64:  # whose matrix products are those of the BLAS
        assert np.allclose(mixed.x_adv.numpy(), whole.x_adv.numpy()[order], atol=1e-6)
        return
    assert np.array_equal(mixed.x_adv.numpy(), whole.x_adv.numpy()[order])
    assert np.array_equal(mixed.success, whole.success[order])
    assert np.array_equal(mixed.queries, whole.queries[order])


@few
@given(data=st.data())
@pytest.mark.parametrize(("case", "norm"), NORMS)
def test_no_radius_returns_the_input(case, norm, data):
    if case.within is None or case.radius == "pixels":
        pytest.skip("has no radius that may be 0")
    drawn = data.draw(draws(case))
    drawn.arguments["eps"] = 0.0 if case.radius == "eps" else 0
    result = drawn.run(case, norm)
    assert np.array_equal(result.x_adv.numpy(), drawn.x.numpy())
    assert np.array_equal(result.success, result.clean_wrong)
