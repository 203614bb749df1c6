"""What a problem tells an attack about its model, against plain NumPy."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import adversarial


@pytest.mark.parametrize("count", [None, 1, 3, 5, 99])
def test_the_likeliest_others_are_ranked_without_the_true_class(count):
    rng = np.random.default_rng(0)
    logits, y = rng.integers(0, 4, (40, 6)).astype(np.float32), rng.integers(0, 6, 40)
    logits[0, :] = -np.inf
    problem = adversarial.Problem(lambda x: x, tc.tensor(logits), tc.tensor(y), attack="a")
    found = problem.likeliest_others(count)
    # Of equal logits, that of the smaller class comes first.
    ranked = [sorted(set(range(6)) - {t}, key=lambda k: (-row[k], k))
              for row, t in zip(logits, y, strict=True)]  # fmt: skip
    assert found.dtype == tc.int64
    assert found.tolist() == [others[:count] for others in ranked]
    assert problem.queries.tolist() == [[1, 0]] * 40


def test_by_default_samples_are_numbered_from_0_and_may_go_anywhere_in_the_unit_box():
    x = tc.full((3, 2), 0.5)
    plain = adversarial.Problem(None, x, None, attack="a")
    stated = adversarial.Problem(
        None, x, None, attack="a", norm="linf", eps=None, bounds=(0, 1), targeted=False, mask=None,
        eot=1, seed=0, index=np.arange(3),
    )  # fmt: skip
    assert plain.uniform(4).tolist() == stated.uniform(4).tolist()
    assert plain.project(x + tc.tensor([2.0, -2.0])).tolist() == [[1.0, 0.0]] * 3
    for name in ("norm", "eps", "bounds", "targeted", "mask", "eot", "seed", "initial", "most"):
        assert getattr(plain, name) == getattr(stated, name)
