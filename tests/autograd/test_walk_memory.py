"""A backward pass holds a gradient no longer than until it was used."""

import weakref

import tinyconv as tc


def test_gradients_of_intermediate_results_die_at_once():
    alive, counts = [], []

    class Step(tc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            result = g * 1
            counts.append(sum(reference() is not None for reference in alive))
            alive.append(weakref.ref(result.array))
            return result

    x = tc.ones(4, requires_grad=True)
    y = x
    for _ in range(6):
        y = Step.apply(y)
    y.sum().backward()
    assert max(counts) <= 1  # the gradient that came in


def test_the_sum_of_two_gradients_replaces_them():
    """While the node behind a branch runs, the branches' own gradients are gone."""
    parts, alive_then = [], []

    class Scaled(tc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            result = g * 2
            parts.append(weakref.ref(result.array))
            return result

    class Watch(tc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            alive_then.append(sum(reference() is not None for reference in parts))
            return g * 1

    x = tc.ones(4, requires_grad=True)
    y = Watch.apply(x)
    (Scaled.apply(y) + Scaled.apply(y)).sum().backward()
    assert len(parts) == 2
    assert alive_then == [0]
    assert x.grad.tolist() == [4, 4, 4, 4]
