r"""
Autograd from scratch
=====================

A library for neural networks stands on one idea: a number can remember how it was computed, and
so its derivatives can be found by walking back. This page builds that idea in 50 lines, trains a
network with it, and then finds every part of it again inside tinyconv.

.. admonition:: At a glance

   | **You will learn** how reverse-mode differentiation works, how to test a gradient, what
     ``grad_fn`` is, and how to write a differentiable function of your own
   | **Before this page** the chain rule; Python classes
   | **Papers** Linnainmaa (1970); Rumelhart, Hinton and Williams (1986)
   | **Network** 2-8-8-1, 105 parameters
   | **Time** about 20 seconds on two CPU cores
"""

# %%
# The idea
# --------
# Take :math:`f = (a + b) \cdot a`. To compute it we do two steps, :math:`s = a + b` and
# :math:`f = s \cdot a`. Each step is so small that its derivatives are known:
#
# .. math::
#
#    \frac{\partial s}{\partial a} = 1, \quad \frac{\partial s}{\partial b} = 1, \quad
#    \frac{\partial f}{\partial s} = a, \quad \frac{\partial f}{\partial a} = s .
#
# We call these numbers *slopes*. The chain rule says: the derivative of :math:`f` with respect to
# any earlier number is a sum over all paths that lead to it, and along a path the slopes are
# multiplied. Here :math:`a` is reached on two paths, directly and through :math:`s`, so
#
# .. math:: \frac{df}{da} = s + a \cdot 1 = 2a + b, \qquad \frac{df}{db} = a \cdot 1 = a .
#
# Walking *backward* from :math:`f` visits each step once and gives the derivatives with respect to
# all inputs together. A network has one output, the loss, and many inputs, its parameters: that is
# why training walks backward.
#
# An engine in one class
# ----------------------
# A ``Value`` holds a number, its gradient, and for each number it was computed from a pair (that
# number, slope). ``backward`` does the walk. It must not leave a value before all paths into it
# have been added up, so it first counts how often each value was used.

import math


class Value:
    """A number that remembers how it was computed."""

    def __init__(self, data, inputs=(), name="input"):
        self.data, self.grad = data, 0.0
        self.inputs, self.name = inputs, name  # inputs: pairs (Value, slope)

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other, name="constant")
        return Value(self.data + other.data, ((self, 1.0), (other, 1.0)), "+")

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other, name="constant")
        inputs = ((self, other.data), (other, self.data))
        return Value(self.data * other.data, inputs, "*")

    def tanh(self):
        y = math.tanh(self.data)
        return Value(y, ((self, 1.0 - y * y),), "tanh")

    def relu(self):
        slope = 1.0 if self.data > 0 else 0.0
        return Value(max(self.data, 0.0), ((self, slope),), "relu")

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        """Add d(self)/d(value) to the ``grad`` of every value in the graph."""
        uses, stack = {}, [self]
        while stack:
            for value, _ in stack.pop().inputs:
                if value not in uses:
                    stack.append(value)
                uses[value] = uses.get(value, 0) + 1
        self.grad, ready = 1.0, [self]
        while ready:
            done = ready.pop()
            for value, slope in done.inputs:
                value.grad += slope * done.grad  # the chain rule
                uses[value] -= 1
                if uses[value] == 0:  # all paths into it have been added
                    ready.append(value)


a, b = Value(3.0, name="a"), Value(-1.0, name="b")
f = (a + b) * a
f.backward()
print(f"f = {f.data}, df/da = {a.grad}, df/db = {b.grad}")
assert (f.data, a.grad, b.grad) == (6.0, 2 * 3.0 + -1.0, 3.0)

# %%
# Note ``+=`` in the line of the chain rule: with ``=`` the second path into ``a`` would overwrite
# the first. Forgetting this is the classical mistake, and the reason why ``.grad`` in PyTorch and
# tinyconv adds up until ``zero_grad()``.
#
# The graph of this computation, with the slopes on the arrows. The function draws any graph whose
# nodes can say what they were computed from; we shall use it again for tinyconv's graph.

import matplotlib.pyplot as plt


def draw_graph(root, label, inputs, title, box_height=0.2):
    """Draw a graph; ``inputs(node)`` gives pairs (node, text on the arrow)."""
    level, stack = {root: 0}, [root]
    while stack:  # level = length of the longest path down to the root
        node = stack.pop(0)
        for child, _ in inputs(node):
            if level.get(child, -1) <= level[node]:
                level[child] = level[node] + 1
                stack.append(child)
    rows = {}
    for node in level:
        rows.setdefault(level[node], []).append(node)
    place = {
        node: (position - (len(row) - 1) / 2, height)
        for height, row in rows.items()
        for position, node in enumerate(row)
    }
    width = max(len(row) for row in rows.values())
    plt.figure(figsize=(1.2 + 1.9 * width, 0.6 + 0.7 * len(rows)), layout="constrained")
    box = {"boxstyle": "round,pad=0.3", "facecolor": "#eaf2fb", "edgecolor": "#1f77b4"}
    for node, (x, y) in place.items():
        plt.text(x, y, label(node), ha="center", va="center", fontsize=9, bbox=box)
        for child, text in inputs(node):
            x0, y0 = place[child]
            bend = 0.3 * (1 if x0 <= x else -1) if level[child] > level[node] + 1 else 0.0
            arrow = {
                "arrowstyle": "->",
                "color": "0.4",
                "connectionstyle": f"arc3,rad={bend}",
            }
            plt.annotate("", (x, y + box_height), (x0, y0 - box_height), arrowprops=arrow)
            middle = ((x + x0) / 2 - bend * (y0 - y) / 4 - 0.06, (y + y0) / 2)
            plt.annotate(
                text, middle, color="#b03a2e", ha="right", va="center", fontsize=9
            )
    plt.xlim(-width / 2 - 0.1, width / 2 + 0.1)
    plt.ylim(-0.5, len(rows) - 0.5)
    plt.axis("off")
    plt.title(title)


draw_graph(
    f,
    label=lambda v: f"{v.name}   value {v.data:g}   grad {v.grad:g}",
    inputs=lambda v: [(child, f"{slope:g}") for child, slope in v.inputs],
    title="f = (a + b) a: values go down, gradients climb up",
)
plt.show()

# %%
# Is it right?
# ------------
# Never trust a derivative that has not been compared with the definition. The central difference
#
# .. math:: \frac{df}{dx} \approx \frac{f(x + h) - f(x - h)}{2h}
#
# has an error of order :math:`h^2`, and a rounding error of order :math:`10^{-16} / h`; a step
# :math:`h = 10^{-6}` is a good compromise in double precision.


def numerical_gradient(function, values, h=1e-6):
    """Return the central differences of ``function`` in each of ``values``."""
    result = []
    for value in values:
        before = value.data
        value.data = before + h
        above = function().data
        value.data = before - h
        below = function().data
        value.data = before
        result.append((above - below) / (2 * h))
    return result


x, y, z = Value(0.7), Value(-1.3), Value(1.4)


def example():
    return ((x * y + z).tanh() * x + z * z).relu() + (y * z).tanh() * y + 2.0 * x


example().backward()
for name, value, expected in zip(
    "xyz", (x, y, z), numerical_gradient(example, (x, y, z))
):
    print(f"d/d{name}: backward {value.grad:+.10f}, difference {expected:+.10f}")
    assert abs(value.grad - expected) < 1e-8

# %%
# A network made of values
# ------------------------
# A neuron is :math:`\tanh(w_1 x_1 + \cdots + w_n x_n + b)`, a layer is a list of neurons, a network
# is a list of layers. The last layer has no :math:`\tanh`: its one output is a *score*, and its
# sign is the predicted class.

import numpy as np

import tinyconv as tc

random = np.random.default_rng(0)


class Network:
    """A multi-layer perceptron with tanh between its layers."""

    def __init__(self, *sizes):
        self.layers = [
            [
                [Value(random.normal() / math.sqrt(n)) for _ in range(n)] + [Value(0.0)]
                for _ in range(m)
            ]
            for n, m in zip(sizes, sizes[1:])
        ]  # layers[l][neuron] = the weights and, last, the bias

    def parameters(self):
        return [value for layer in self.layers for neuron in layer for value in neuron]

    def __call__(self, inputs):
        for number, layer in enumerate(self.layers):
            outputs = []
            for *weights, bias in layer:
                total = bias
                for weight, value in zip(weights, inputs):
                    total = total + weight * value
                outputs.append(total)
            last = number == len(self.layers) - 1
            inputs = outputs if last else [value.tanh() for value in outputs]
        return inputs[0]


network = Network(2, 8, 8, 1)
print(len(network.parameters()), "parameters")
assert len(network.parameters()) == (2 * 8 + 8) + (8 * 8 + 8) + (8 * 1 + 1) == 105

# %%
# The task: two half moons that no straight line separates, 40 points each, with labels -1 and +1.

angle = np.pi * random.uniform(size=40)
upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
lower = np.stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
points = np.concatenate([upper, lower]) + 0.1 * random.normal(size=(80, 2))
labels = np.repeat([1.0, -1.0], 40)

# %%
# The loss is the *hinge* loss, :math:`\max(0, 1 - y \cdot \text{score})`, averaged over the points:
# nothing to pay for a point on its right side with a margin of 1. Training is plain gradient
# descent on all points. (``max_steps`` is a setting by which a test makes this page end quickly;
# normally it is not set.)


def mean_loss():
    losses = [(1.0 + -y * network(point)).relu() for point, y in zip(points, labels)]
    return sum(losses[1:], losses[0]) * (1.0 / len(losses))


def gradient_step(rate):
    """Do one step of gradient descent; return the loss before it."""
    loss = mean_loss()
    for value in network.parameters():
        value.grad = 0.0
    loss.backward()
    for value in network.parameters():
        value.data -= rate * value.grad
    return loss.data


steps = min(150, tc.config.max_steps.get() or 150)
losses = [gradient_step(rate=0.2) for _ in range(steps)]

scores = np.array([network(point).data for point in points])
accuracy = np.mean(np.sign(scores) == labels)
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
print(f"{accuracy:.1%} of the points are on their side")
if tc.config.max_steps.get() is None:
    assert accuracy > 0.97

# %%
# The picture shows the score over the plane; the black line, score 0, is the decision boundary.
# These are training points: that the network separates them says little about new ones.

grid = np.stack(
    np.meshgrid(np.linspace(-1.6, 2.6, 36), np.linspace(-1.2, 1.7, 30)), axis=-1
)
surface = np.array([[network(point).data for point in row] for row in grid])

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=(2, 3)
)
left.plot(losses)
left.set(xlabel="step", ylabel="mean hinge loss", title="learning curve", ylim=(0, None))
left.grid(alpha=0.3)
plane = (grid[..., 0], grid[..., 1], surface)
levels = np.linspace(-3, 3, 13)
right.contourf(*plane, levels=levels, cmap="RdBu", alpha=0.6, extend="both")
right.contour(*plane, levels=[0.0], colors="black")
for label, marker, colour in ((1.0, "o", "#1a5276"), (-1.0, "s", "#922b21")):
    right.scatter(
        *points[labels == label].T, marker=marker, color=colour, s=16, label=f"{label:+g}"
    )
right.set(title="score of the network", aspect="equal")
right.legend(loc="upper right")
plt.show()

# %%
# The same with tensors
# ---------------------
# How many objects does one training step make?

seen, stack = set(), [mean_loss()]
while stack:
    value = stack.pop()
    if value not in seen:
        seen.add(value)
        stack.extend(child for child, _ in value.inputs)
print(f"{len(seen):,} values")

# %%
# tinyconv does the same with one node for a whole array. We give it our weights and compare: the
# gradients must be the same numbers, because the idea is the same.

from tinyconv.nn import functional as F

weights, biases = [], []
for layer in network.layers:
    rows = np.array([[value.data for value in neuron] for neuron in layer])
    weights.append(tc.tensor(rows[:, :-1], dtype=tc.float64, requires_grad=True))
    biases.append(tc.tensor(rows[:, -1], dtype=tc.float64, requires_grad=True))

inputs = tc.tensor(points, dtype=tc.float64)
targets = tc.tensor(labels, dtype=tc.float64)


def tensor_loss():
    hidden = inputs
    for weight, bias in zip(weights[:-1], biases[:-1]):
        hidden = F.linear(hidden, weight, bias).tanh()
    score = F.linear(hidden, weights[-1], biases[-1]).squeeze(1)
    return (1.0 - targets * score).relu().mean()


value_loss, loss = mean_loss(), tensor_loss()
for value in network.parameters():
    value.grad = 0.0
value_loss.backward()
loss.backward()

largest = 0.0
for layer, weight, bias in zip(network.layers, weights, biases):
    ours = np.array([[value.grad for value in neuron] for neuron in layer])
    theirs = np.concatenate([weight.grad.numpy(), bias.grad.numpy()[:, None]], axis=1)
    largest = max(largest, np.abs(ours - theirs).max())
print(f"losses {value_loss.data:.12f} and {loss.item():.12f}")
print(f"largest difference of the 105 gradients: {largest:.1e}")
assert abs(value_loss.data - loss.item()) < 1e-12
assert largest < 1e-12

# %%
# And the time of one step (forward and backward), on the computer that made this page:

import time


def milliseconds(compute):
    """Return the median time of five calls of ``compute().backward()``."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        compute().backward()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[2]


print(f"values:  {milliseconds(mean_loss):7.2f} ms")
print(f"tensors: {milliseconds(tensor_loss):7.2f} ms")

# %%
# Inside tinyconv: ``grad_fn`` and ``next_functions``
# ---------------------------------------------------
# A tensor that was computed has a ``grad_fn``, the node that made it. ``next_functions`` of a node
# are the nodes of its inputs: what ``Value.inputs`` was for us. A leaf, such as a weight, was made
# by no node and stands for itself. So the graph can be walked in three lines:

u = tc.tensor(3.0, requires_grad=True)
v = tc.tensor(-1.0, requires_grad=True)
g = (u + v) * u
print(g.grad_fn)
for following, _ in g.grad_fn.next_functions:
    print("    ", following)


def label_of(node):
    """Return a node's name, or ``leaf`` and its shape."""
    return f"leaf {tuple(node.shape)}" if isinstance(node, tc.Tensor) else node.name()


def inputs_of(node):
    """Return pairs (node, no text) of what ``node`` was computed from."""
    if isinstance(node, tc.Tensor):
        return []
    return [
        (following, "") for following, _ in node.next_functions if following is not None
    ]


draw_graph(tensor_loss().grad_fn, label_of, inputs_of, "the network's loss in tinyconv")
plt.show()

# %%
# What differs from our engine: a node keeps the *tensors* its backward rule needs (for a matrix
# product a table of all slopes would be huge) and frees them after the walk; ``.grad`` is kept for
# leaves only; and the rules are themselves made of differentiable operations, so a gradient can be
# differentiated again:

(first,) = tc.autograd.grad(u**3, u, create_graph=True)
(second,) = tc.autograd.grad(first, u)
print(f"at 3: d(u^3)/du = {first.item()}, second derivative = {second.item()}")
assert (first.item(), second.item()) == (27.0, 18.0)

# %%
# A function of your own
# ----------------------
# Any function can become a node: ``forward`` computes, ``backward`` turns the gradient of the
# output into the gradient of the input. Here is the *softplus*, a smooth ReLU,
# :math:`\log(1 + e^x)`, whose derivative is :math:`1 / (1 + e^{-x})`. The formula as it stands
# overflows for large :math:`x`; the form in the code does not.


class Softplus(tc.autograd.Function):
    """log(1 + exp(x))."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0) + (-x.abs()).exp().log1p()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.sigmoid()


t = tc.tensor([-3.0, -0.5, 0.2, 4.0], dtype=tc.float64, requires_grad=True)
print(Softplus.apply(t))
print("first derivative: ", tc.autograd.gradcheck(Softplus.apply, t))
print("second derivative:", tc.autograd.gradgradcheck(Softplus.apply, t))

# %%
# ``gradcheck`` is the comparison with central differences from above. It is worth something only
# because it fails when the rule is wrong. We forget the sigmoid:


import textwrap


class WrongSoftplus(Softplus):
    @staticmethod
    def backward(ctx, grad):
        return grad


try:
    tc.autograd.gradcheck(WrongSoftplus.apply, t)
except tc.errors.GradientError as error:
    print(textwrap.fill(str(error), 90))
else:
    raise AssertionError("gradcheck did not notice")

# %%
# Exercises
# ---------
# 1. Give ``Value`` an ``exp`` and a ``log``, and replace the hinge loss by the logistic loss
#    :math:`\log(1 + e^{-y \cdot \text{score}})`. Check the gradient first.
# 2. Replace ``+=`` by ``=`` in ``Value.backward``. Which of the checks above notice?
# 3. Draw 40 new points a moon and measure the accuracy on them. Then train on 5 points a moon.
# 4. Our ``relu`` says that its slope at 0 is 0. What does the central difference say? Which other
#    slopes would be as good?
# 5. Write ``Swish``, :math:`x \cdot \sigma(x)`, as a ``Function`` that saves only its input, and
#    check first and second derivative.
#
# .. dropdown:: The same in PyTorch
#
#    ``grad_fn``, ``next_functions``, ``torch.autograd.Function``, ``grad`` and ``gradcheck`` have
#    the same names and arguments there: replace ``import tinyconv as tc`` by ``import torch as tc``
#    and ``tinyconv.nn`` by ``torch.nn``. In PyTorch a leaf appears in ``next_functions`` as a node
#    called ``AccumulateGrad``, and a failed ``gradcheck`` raises ``GradcheckError``.
#
# References
# ----------
# - S. Linnainmaa, *The representation of the cumulative rounding error of an algorithm as a Taylor
#   expansion of the local rounding errors* (in Finnish), Master's thesis, University of Helsinki,
#   1970.
# - D. E. Rumelhart, G. E. Hinton and R. J. Williams, *Learning representations by back-propagating
#   errors*, Nature 323, 1986.
# - A. G. Baydin, B. A. Pearlmutter, A. A. Radul and J. M. Siskind, *Automatic differentiation in
#   machine learning: a survey*, Journal of Machine Learning Research 18, 2018.
