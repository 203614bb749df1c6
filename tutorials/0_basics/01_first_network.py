r"""
Your first network
==================

We teach a small convolutional network to read handwritten digits, in the way one does it in
PyTorch: look at the data, build the model layer by layer, train it in a loop, and then find out
how good it really is.

.. admonition:: At a glance

   | **You will learn** what goes into a training script, how the shapes in a CNN come about, and
     how to judge a classifier
   | **Before this page** Python with NumPy; what a derivative is
   | **Paper** LeCun, Bottou, Bengio and Haffner (1998), *Gradient-based learning applied to
     document recognition*
   | **Network** LeNet-5, 61,706 parameters
   | **Time** about 20 seconds on two CPU cores; the first run also compiles the kernels
"""

# %%
# The data
# --------
# ``Digits`` are 1,797 grey pictures that 13 people wrote, of 8 x 8 pixels; they come with
# scikit-learn, so nothing is downloaded. We ask for 28 x 28 pixels, the size of MNIST, which the
# library makes by interpolation: the pictures get larger, not sharper.
#
# The data set comes in two parts. With ``train=True`` we get what the network may learn from. The
# rest is the *test set*. We touch it once, at the end: what one has looked at again and again while
# choosing a model says little about new pictures.

from itertools import islice

import matplotlib.pyplot as plt

import tinyconv as tc
from tinyconv import nn
from tinyconv.nn import functional as F

tc.manual_seed(0)
known = tc.datasets.Digits(train=True, size=28)
test = tc.datasets.Digits(train=False, size=28)
image, label = known[0]
print(f"{len(known)} pictures to learn from, {len(test)} for the test")
print(f"a picture: shape {tuple(image.shape)}, {image.dtype}, label {int(label)}")
assert len(known) + len(test) == 1797


def show_images(images, titles, columns=10):
    """Draw images of shape (1, H, W) in a grid."""
    rows = -(-len(images) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(0.95 * columns, 1.2 * rows),
        squeeze=False,
        layout="constrained",
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles):
        axes.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9)


show_images([known[i][0] for i in range(20)], [f"{int(known[i][1])}" for i in range(20)])
plt.show()

# %%
# A picture is a tensor of shape (channels, height, width). A grey picture has one channel; its
# values go from 0, black, to 1, white. Some of these digits are hard to read for us, too.
#
# Training works on *batches*: a step computes the gradient on 64 pictures at once. A ``DataLoader``
# makes them, in a new random order each epoch, and stacks the pictures to one tensor of shape
# (batch, channels, height, width). A fifth of the known pictures is set aside as *validation set*:
# the network does not learn from it, and we may look at it as often as we like.

training, validation = tc.data.random_split(known, [0.8, 0.2])
training_loader = tc.data.DataLoader(training, batch_size=64, shuffle=True)
validation_loader = tc.data.DataLoader(validation, batch_size=256)
test_loader = tc.data.DataLoader(test, batch_size=256)

images, labels = next(iter(training_loader))
print(f"images {tuple(images.shape)} of {images.dtype}")
print(f"labels {tuple(labels.shape)} of {labels.dtype}")

# %%
# The network, layer by layer
# ---------------------------
# A *convolution* slides a small window over the picture and computes, at each place, a weighted
# sum of what is under the window. The same weights are used everywhere, so a stroke is found
# wherever it is. With a window of :math:`k` pixels, padding :math:`p` (zeros added on each side)
# and stride :math:`s`, a side of :math:`n` pixels becomes
#
# .. math:: \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1 .
#
# *ReLU*, :math:`\max(0, x)`, stands between the layers, because without it two linear layers would
# be no more than one. *Max pooling* keeps the largest of each 2 x 2 pixels: a quarter of the
# numbers, and a stroke may move by a pixel without changing much. At the end, *linear* layers
# turn the 400 numbers that are left into ten, one *logit* for each digit.
#
# LeNet-5 was drawn for 32 x 32 pixels; padding 2 in its first layer gives our 28 x 28 that size.


def make_lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2),  # 28 + 4 - 5 + 1 = 28
        nn.ReLU(),
        nn.MaxPool2d(2),  # 28 / 2 = 14
        nn.Conv2d(6, 16, kernel_size=5),  # 14 - 5 + 1 = 10
        nn.ReLU(),
        nn.MaxPool2d(2),  # 10 / 2 = 5
        nn.Flatten(),  # 16 * 5 * 5 = 400
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


model = make_lenet()
x = images[:1]
print(f"{'layer':<12}{'output shape':<20}{'parameters':>10}")
for layer in model:
    x = layer(x)
    count = sum(p.numel() for p in layer.parameters())
    print(f"{type(layer).__name__:<12}{tuple(x.shape)!s:<20}{count:>10,}")
total = sum(p.numel() for p in model.parameters())
print(f"{'total':<32}{total:>10,}")
assert total == 61_706

# %%
# Where the counts come from: a convolution with 6 windows of 5 x 5 over 1 channel has
# :math:`6 \cdot (1 \cdot 25 + 1) = 156` parameters, the one being the bias; the second has
# :math:`16 \cdot (6 \cdot 25 + 1) = 2416`. A linear layer from 400 to 120 has
# :math:`400 \cdot 120 + 120 = 48120`. So four of five parameters are in
# this one layer.
#
# (This is LeNet-5 as it is built today, and as ``tc.models.LeNet5()`` builds it. In the paper the
# pooling averages and has weights, the activation is tanh, the second convolution sees only part
# of the maps, and the output compares with drawn pictures of the digits.)
#
# The loss
# --------
# *Softmax* turns the ten logits :math:`z` into probabilities, :math:`p_i = e^{z_i} / \sum_j
# e^{z_j}`. The *cross-entropy* is :math:`-\log(p_y)`, with :math:`y` the true digit: 0 if the
# network is sure and right, large if it is sure and wrong. A network that knows nothing gives each
# digit about 1/10, so before training we expect :math:`\log(10) \approx 2.303`. It is good practice
# to check that:

loss = F.cross_entropy(model(images), labels)
print(f"loss before training: {loss.item():.3f}")
assert 2.2 < loss.item() < 2.4

# %%
# The training loop
# -----------------
# One step has four parts: forget the old gradients, compute the loss, walk back through the graph
# for the new gradients (the next page shows how), and let the *optimizer* change the parameters.
# We use Adam (Kingma and Ba, 2015), gradient descent with a step size for each parameter. After
# each epoch a *schedule* lowers the learning rate along half a cosine, from ``lr`` to zero: large
# steps first, careful ones at the end.
#
# ``model.eval()`` and ``tc.no_grad()`` are for measuring: the first switches layers that behave
# differently in training (LeNet has none, but the habit is cheap), the second saves the memory and
# time of recording a graph that nobody will walk.


def evaluate(model, loader):
    """Return mean loss and accuracy of ``model`` on the data of ``loader``."""
    model.eval()
    loss, correct, seen = 0.0, 0, 0
    with tc.no_grad():
        for images, labels in loader:
            logits = model(images)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(1) == labels).sum().item()
            seen += len(labels)
    return loss / seen, correct / seen


def train(model, epochs, lr=4e-3):
    """Train; return [training loss, validation loss, accuracy] by epoch."""
    optimizer = tc.optim.Adam(model.parameters(), lr=lr)
    schedule = tc.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    steps = tc.config.max_steps.get()  # None, but a test of this page sets it
    history = []
    for epoch in range(min(epochs, tc.config.max_epochs.get() or epochs)):
        model.train()
        loss_sum, seen = 0.0, 0
        for images, labels in islice(training_loader, steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            seen += len(labels)
        schedule.step()
        history.append([loss_sum / seen, *evaluate(model, validation_loader)])
        loss, validation_loss, accuracy = history[-1]
        print(
            f"epoch {epoch + 1:2}: loss {loss:.4f}; "
            f"validation: loss {validation_loss:.4f}, accuracy {accuracy:.4f}"
        )
    return history


history = train(model, epochs=15)

# %%
# Learning curves
# ---------------
# Two curves tell how training went. If both losses are high, the network is too small or was
# trained too briefly (*underfitting*). If the training loss goes on falling while the validation
# loss rises, it learns its pictures by heart (*overfitting*), and more data, augmentation or
# regularization help. Here the gap between the two shows that overfitting has begun, though the
# accuracy does not suffer yet. (The validation set is small: one picture is a third of a percent.)

training_loss, validation_loss, validation_accuracy = zip(*history)
epochs = range(1, len(history) + 1)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.semilogy(epochs, training_loss, marker=".", label="training")
left.semilogy(epochs, validation_loss, marker=".", label="validation")
left.set(xlabel="epoch", title="cross-entropy (logarithmic scale)")
left.legend()
right.plot(epochs, validation_accuracy, marker=".", color="C1", label="validation")
right.set(xlabel="epoch", title="accuracy")
right.legend()
for axes in (left, right):
    axes.grid(alpha=0.3)
plt.show()

# %%
# The test
# --------
# Now, once, the test set. A measured accuracy has an uncertainty: with :math:`n` pictures and
# accuracy :math:`a`, the Wilson interval says where the accuracy on many more pictures *of the same
# kind* lies, with 95 % confidence.

test_loss, accuracy = evaluate(model, test_loader)
n, z = len(test), 1.96
centre = (accuracy + z**2 / (2 * n)) / (1 + z**2 / n)
margin = z / (1 + z**2 / n) * (accuracy * (1 - accuracy) / n + z**2 / (4 * n**2)) ** 0.5
print(f"test: {round(accuracy * n)} of {n} correct = {accuracy:.1%}")
print(f"95 % interval: {centre - margin:.1%} to {centre + margin:.1%}")
trained = tc.config.max_steps.get() is None and tc.config.max_epochs.get() is None
if trained:
    assert accuracy > 0.96

# %%
# "Of the same kind" is a serious limit. The same 13 people wrote both parts, so this number says
# how the network reads *their* digits; for those of a stranger it would probably be worse. (The
# validation accuracy is an estimate, too, on still fewer pictures. That the two differ by a percent
# or two is chance.)
#
# The *confusion matrix* shows which digits are taken for which: row = what it is, column = what
# the network said.

confusion = tc.train.ConfusionMatrix(10)
wrong = []
with tc.no_grad():
    for images, labels in test_loader:
        probabilities = F.softmax(model(images), dim=1)
        predictions = probabilities.argmax(1)
        confusion.update(labels.numpy(), predictions.numpy())
        for i in (predictions != labels).nonzero().flatten().tolist():
            digit = predictions[i].item()
            p = probabilities[i, digit].item()
            wrong.append((images[i], labels[i].item(), digit, p))
assert len(wrong) == n - round(accuracy * n)

counts = confusion.counts
figure, axes = plt.subplots(figsize=(5, 4.6), layout="constrained")
axes.imshow(counts, cmap="Blues")
for row in range(10):
    for column in range(10):
        if counts[row, column]:
            colour = "white" if counts[row, column] > counts.max() / 2 else "black"
            axes.text(
                column, row, counts[row, column], ha="center", va="center", color=colour
            )
axes.set(xlabel="predicted", ylabel="true", xticks=range(10), yticks=range(10))
axes.set_title(f"{len(wrong)} mistakes in {n} pictures")
plt.show()

# %%
# A look at the mistakes
# ----------------------
# Always look at them: they show wrong labels, bad pictures, and what the network has not
# understood. Above each picture: what it is, what the network said, and how sure it was.

if wrong:
    shown = sorted(wrong, key=lambda mistake: -mistake[3])[:20]
    show_images(
        [image for image, *_ in shown],
        [f"{label}, said {digit}\n{p:.0%}" for _, label, digit, p in shown],
        columns=min(len(shown), 8),
    )
    plt.show()

# %%
# Notice the probabilities. A network trained with cross-entropy is often very sure even when it is
# wrong, so a softmax output is not a reliable measure of doubt.
#
# What did it learn?
# ------------------
# The six windows of the first layer (red positive, blue negative), and what each finds in one
# picture, after ReLU. Each answers to other parts of the strokes; one that stays black found
# nothing here. The windows themselves are hard to read: five pixels are few.

with tc.no_grad():
    maps = F.relu(model[0](test[0][0].unsqueeze(0)))[0].numpy()
windows = model[0].weight.detach().numpy()
limit = abs(windows).max()
figure, grid = plt.subplots(2, 6, figsize=(9, 3.2), layout="constrained")
for i in range(6):
    grid[0, i].imshow(windows[i, 0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    grid[1, i].imshow(maps[i], cmap="gray")
for axes in grid.flat:
    axes.axis("off")
plt.show()

# %%
# Was the convolution worth it?
# -----------------------------
# An experiment needs something to compare with. Here is the simplest classifier, one linear layer
# on the pixels, trained in the same way.

tc.manual_seed(0)
linear = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
train(linear, epochs=15)
_, linear_accuracy = evaluate(linear, test_loader)
for name, net, result in (
    ("linear", linear, linear_accuracy),
    ("LeNet-5", model, accuracy),
):
    size = sum(p.numel() for p in net.parameters())
    mistakes = round((1 - result) * n)
    print(f"{name:<8} {size:>6,} parameters: {mistakes:>2} mistakes in {n}")
if trained:
    assert linear_accuracy < accuracy

# %%
# On these easy pictures the linear layer is not bad at all: say so when you report the result of a
# network.
#
# Keeping the network
# -------------------
# ``state_dict`` gives all parameters by name, ``save`` writes them to a safetensors file.

import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "lenet.safetensors"
    tc.save(model.state_dict(), path)
    again = make_lenet()
    again.load_state_dict(tc.load(path))
    print(f"{path.name}: {path.stat().st_size:,} bytes")
assert evaluate(again, test_loader)[1] == accuracy

# %%
# Exercises
# ---------
# 1. Remove the padding of the first layer. Which number in the model has to change, and to what?
#    How many parameters does the network then have?
# 2. Replace ``MaxPool2d`` by ``AvgPool2d`` and ``ReLU`` by ``Tanh``, as in 1998. Compare over
#    three seeds, not one: is the difference larger than that between seeds?
# 3. Train on the first 100 pictures only (``tc.data.Subset``). What do the learning curves say?
# 4. Measure the accuracy on test pictures that are shifted by two pixels (``tc.roll``), for LeNet
#    and for the linear layer.
# 5. Use SGD with momentum 0.9 instead of Adam. Which learning rate works?
#
# .. dropdown:: The same in PyTorch
#
#    Only the imports change, and the names they bring:
#
#    .. code-block:: python
#
#       import torch as tc
#       from torch import nn
#       from torch.nn import functional as F
#
#    with ``torch.utils.data`` for ``tc.data``, ``torchvision.datasets.MNIST`` for the digits, and
#    ``torch.load(path, weights_only=True)``. ``tc.config`` and ``tc.train`` are tinyconv's own;
#    ``tc.train.Trainer`` is the loop of this page with checkpoints and resume.
#
# References
# ----------
# - Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, *Gradient-based learning applied to document
#   recognition*, Proceedings of the IEEE 86(11), 1998.
# - D. P. Kingma and J. Ba, *Adam: a method for stochastic optimization*, ICLR 2015.
# - E. Alpaydin and C. Kaynak, *Optical recognition of handwritten digits*, UCI Machine Learning
#   Repository, 1998 (the data).
# - E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal
#   of the American Statistical Association 22, 1927.
