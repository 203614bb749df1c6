"""HopSkipJump and the boundary attack: decisions alone, starts, and the way to the boundary."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial.attacks.labels import approach, bisections
from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.nn import functional as F

ATTACKS = [
    pytest.param(adversarial.hop_skip_jump, {"steps": 4, "evaluations": 20}, id="hop_skip_jump"),
    pytest.param(
        adversarial.hop_skip_jump, {"steps": 4, "evaluations": 20, "norm": "linf"}, id="linf"
    ),
    pytest.param(adversarial.boundary, {"steps": 60}, id="boundary"),
]
attacks = pytest.mark.parametrize(("attack", "arguments"), ATTACKS)


class Decision(nn.Module):
    """The decision of a model, and no more."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        logits = self.model(x)
        return F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)


class Corner(nn.Module):
    """Class 1 where the first value is above 0.9, else class 0."""

    def forward(self, x):
        first = x.reshape(len(x), -1)[:, :1]
        return tc.cat([first * 0 + 0.9, first], 1)


@attacks
def test_decisions_alone_give_the_same_bits(attack, arguments):
    net, x = small_net(), images(5)
    y = predictions(net, x)
    soft = attack(net, x, y, **arguments)
    hard = attack(Decision(net), x, y, **arguments)
    assert soft.success.all()
    assert np.array_equal(soft.x_adv.numpy(), hard.x_adv.numpy())
    assert np.array_equal(soft.queries, hard.queries)
    assert (soft.queries[:, 1] == 0).all()


@attacks
def test_a_start_is_used_where_it_is_a_success(attack, arguments):
    x = tc.full((3, 1, 3, 3), 0.5)
    y = tc.zeros(3, dtype=tc.int64)
    start = tc.full((3, 1, 3, 3), 0.5)
    start[0, 0, 0, 0] = 1.0
    start[1] = 1.0
    result = attack(Corner(), x, y, start=start, trials=1, seed=2, **arguments)
    assert result.success[:2].all()
    assert result.x_adv[0, 0, 0, 0].item() == pytest.approx(0.9, abs=0.05)
    failed = attack(Corner(), x[2:], y[2:], start=start[2:], trials=1, seed=2, **arguments)
    noisy = attack(Corner(), x, y, trials=80, **arguments)
    assert not failed.success.any()
    assert np.array_equal(failed.x_adv.numpy(), x[2:].numpy())
    assert noisy.success.all()


@attacks
def test_a_start_of_the_target_class_leads_there(attack, arguments):
    net, x = small_net(), images(30, seed=2)
    y = predictions(net, x)
    classes = y.numpy()
    target = np.array([classes[classes != c][0] for c in classes])
    start = x[tc.tensor([int(np.flatnonzero(classes == t)[0]) for t in target])]
    result = attack(net, x, tc.tensor(target), targeted=True, start=start, trials=1, **arguments)
    assert result.success.all()
    assert (predictions(net, result.x_adv).numpy() == target).all()


@attacks
def test_more_steps_come_nearer(attack, arguments):
    net, x = small_net(), images(6)
    y = predictions(net, x)
    norm = arguments.get("norm", "l2")
    few = attack(net, x, y, **{**arguments, "steps": 1})
    many = attack(net, x, y, **{**arguments, "steps": arguments["steps"] * 5})
    assert (many.norm[norm] <= few.norm[norm]).all()
    assert np.median(many.norm[norm] / few.norm[norm]) < 0.8
    assert np.allclose(many.eps_used, many.norm[norm])


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_bisection_ends_at_the_boundary_on_the_far_side(norm):
    x, y = tc.full((2, 1, 2, 2), 0.5), tc.zeros(2, dtype=tc.int64)
    problem = adversarial.Problem(Corner(), x, y, attack="a", norm=norm)
    far = tc.ones(2, 1, 2, 2)
    far[1, 0, 1, 1] = 0.6
    near = approach(problem, far, norm, 20)
    assert problem.succeeds(problem.logits(near)).all()
    assert np.allclose(near[:, 0, 0, 0].numpy(), 0.9, atol=1e-5)
    corner = {"l2": [0.9, 0.58], "linf": [0.9, 0.6]}[norm]
    assert np.allclose(near[:, 0, 1, 1].numpy(), corner, atol=1e-5)
    assert problem.queries[:, 0].tolist() == [21, 21]


def test_the_number_of_bisections():
    assert bisections(784**-1.5, tc.zeros(1)) == 15
    assert bisections(1e-30, tc.zeros(1)) == 23
    assert bisections(1e-30, tc.zeros(1, dtype=tc.float64)) == 52


def test_each_step_of_hop_skip_jump_takes_more_evaluations_up_to_the_most():
    x, y = tc.full((1, 1, 3, 3), 0.5), tc.zeros(1, dtype=tc.int64)
    arguments = {"start": tc.ones(1, 1, 3, 3), "evaluations": 100}
    counts = [
        adversarial.hop_skip_jump(Corner(), x, y, steps=4, max_evaluations=most, **arguments)
        .queries[0, 0]
        for most in (10_000, 150, 100)
    ]  # fmt: skip
    extra = 100 + 141 + 173 + 200
    assert extra < counts[0] < extra + 150
    assert counts[0] > counts[1] > counts[2]


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    with pytest.raises(ShapeError, match="boundary: argument 'start' must have the shape of 'x'"):
        adversarial.boundary(net, x, y, start=x[:1])
    with pytest.raises(ArgumentError, match="hop_skip_jump: argument 'evaluations' must be an int"):
        adversarial.hop_skip_jump(net, x, y, evaluations=0)
    with pytest.raises(ArgumentError, match="'norm' must be one of 'l2', 'linf', got 'l1'"):
        adversarial.hop_skip_jump(net, x, y, norm="l1")
    with pytest.raises(ArgumentError, match="boundary: argument 'source_step' must be between"):
        adversarial.boundary(net, x, y, source_step=1.0)
    with pytest.raises(ArgumentError, match="boundary: argument 'adaptation' must be above 1"):
        adversarial.boundary(net, x, y, adaptation=1.0)
